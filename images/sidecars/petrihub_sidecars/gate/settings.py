"""What a gate is told: by JupyterHub in its own variables, by PetriHub in one of ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

SETTINGS_VARIABLE = "PETRIHUB_GATE"
TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the name of a variable
REPORTS_EVERY = 60.0  # seconds between two reports of activity, while there is something to report
IDENTITY_PORT = 8889  # where the tool finds the key of the identity header, on loopback


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """The tool behind the gate, and the workspace that both belong to."""

    title: str
    port: int
    health: str
    absolute_urls: bool
    owner: str
    workspace: str
    audience: str
    issuer: str
    base_url: str
    host: str
    listen_port: int
    public_scheme: str
    home_url: str
    identity_port: int = IDENTITY_PORT
    reports_every: float = REPORTS_EVERY

    @property
    def secure(self) -> bool:
        """Whether browsers come by HTTPS."""
        return self.public_scheme == "https"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "GateSettings":
        """From a process's variables; raises `KeyError` or `ValueError` if they are no gate's."""
        told = json.loads(environment[SETTINGS_VARIABLE])
        service = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
        hub = environment.get("JUPYTERHUB_HOST", "") + environment["JUPYTERHUB_BASE_URL"]
        public = environment.get("JUPYTERHUB_PUBLIC_URL", "")
        person = environment["PETRIHUB_PERSON"]
        return cls(
            title=str(told["title"]),
            port=int(told["port"]),
            health=str(told.get("health") or "/"),
            absolute_urls=bool(told.get("absolute_urls", False)),
            owner=environment["JUPYTERHUB_USER"],
            workspace=environment["JUPYTERHUB_SERVER_NAME"],
            audience=f"{person}/{environment['PETRIHUB_WORKSPACE']}",
            issuer=f"petrihub:{environment['PETRIHUB_DEPLOYMENT']}",
            base_url=environment["JUPYTERHUB_SERVICE_PREFIX"],
            host=service.hostname or "127.0.0.1",
            listen_port=service.port or 8888,
            public_scheme=urlsplit(public).scheme if public else "",
            home_url=f"{hub.rstrip('/')}/hub/home",
            identity_port=int(told.get("identity_port", IDENTITY_PORT)),
            reports_every=float(told.get("reports_every", REPORTS_EVERY)),
        )
