"""Where browsers reach PetriHub: the sections [address] and [front] of `petrihub.toml`."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_HOST_NAME = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"
# said wherever people have no origins of their own
TRUSTED_ONLY = "All workspaces share the site's own address: for trusted users only."
_HostName = Annotated[str, Field(min_length=1, pattern=_HOST_NAME)]


class Section(BaseModel):
    """One section of petrihub.toml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Address(Section):
    """Where browsers reach PetriHub."""

    host: str = Field("127.0.0.1", description="Address that the proxy listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the proxy listens on.")
    names: tuple[_HostName, ...] = Field(
        (),
        description=(
            "Further names by which browsers reach PetriHub. Requests for names that are not "
            "known are refused; localhost, numeric addresses, this machine's name, the host above "
            "and the front's domain are known."
        ),
    )


class FrontSection(Section):
    """What speaks HTTPS before the routing proxy."""

    kind: Literal["none", "caddy", "outside"] = Field(
        "none",
        description=(
            "none: browsers come by plain HTTP to [address]. caddy: `petrihub up` runs Caddy, and "
            "the routing proxy moves to loopback. outside: something that you run, such as the "
            "Caddy of deploy/compose."
        ),
    )
    domain: str = Field(
        "",
        pattern=_HOST_NAME,
        description="Name under which browsers reach PetriHub, such as hub.example.org.",
    )
    https_port: int = Field(443, ge=1, le=65535, description="Port for HTTPS.")
    http_port: int = Field(
        80,
        ge=1,
        le=65535,
        description="Port that leads to HTTPS and answers ACME challenges, which come to port 80.",
    )
    listen: str = Field(
        "", max_length=64, description="Address that the front listens on. Empty: all."
    )
    subdomains: bool = Field(
        True,
        description=(
            "Whether each person's workspaces have an origin of their own, a name directly below "
            "the domain. It needs a wildcard DNS record and a certificate for *.domain. false: "
            "everything at the domain itself, for trusted users only. Without a front: no effect."
        ),
    )
    inside: str = Field(
        "",
        pattern=r"^([^\s:]+:[0-9]{1,5})?$",
        description=(
            "host:port at which the portal reaches the front, to check a new certificate. "
            "Empty: this machine and the HTTPS port."
        ),
    )

    @model_validator(mode="after")
    def _has_a_domain(self) -> Self:
        if self.kind != "none" and not self.domain:
            raise ValueError(f"kind {self.kind!r} needs a domain")
        if self.https_port == self.http_port:
            raise ValueError("https_port and http_port must differ")
        if self.origins and _is_numeric(self.domain):
            raise ValueError("there are no names below a numeric domain: set subdomains = false")
        return self

    @property
    def origins(self) -> bool:
        """Whether each person's workspaces have an origin of their own."""
        return self.kind != "none" and self.subdomains

    @property
    def reached_at(self) -> tuple[str, int]:
        """Where the portal reaches the front itself: host and port."""
        if self.inside:
            host, _, port = self.inside.rpartition(":")
            return host, int(port)
        return self.listen or "127.0.0.1", self.https_port


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
