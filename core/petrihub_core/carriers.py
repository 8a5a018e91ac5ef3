"""Where volumes are kept: the section [storage] of `petrihub.toml`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from petrihub_core.addresses import Section

VOLUME, SFTP, S3 = "volume", "sftp", "s3"
FILE_SERVER_TOKEN = "file_server_token"  # noqa: S105 - the name of the file in the secrets folder


class SftpSection(Section):
    """A file server, as `petrihub fileserver` runs it."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$")] = Field(
        description="Name or address at which the workspaces reach it; not a loopback address."
    )
    port: int = Field(2022, ge=1, le=65535, description="Port that it listens on.")
    host_key: str = Field(
        pattern=r"^ssh-ed25519 [A-Za-z0-9+/=]+$",
        description="Its public key, as `petrihub fileserver` prints it: ssh-ed25519 and the rest.",
    )


class S3Section(Section):
    """A bucket of an object store that speaks S3."""

    endpoint: str = Field(
        pattern=r"^https?://[^\s/]+$",
        description="Its address, such as https://s3.example.org, as the workspaces reach it.",
    )
    region: str = Field("us-east-1", max_length=64, description="Its region.")
    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="The bucket; it must exist."
    )
    credentials: Path = Field(
        description=(
            "File with two lines, the access key and the secret key; relative to the state folder. "
            "It is read at each start."
        ),
    )


class StorageSection(Section):
    """Where homes, shared folders and the public folder are kept."""

    carrier: Literal["volume", "sftp", "s3"] = Field(
        "volume",
        description=(
            "volume: on the machine that runs the workspaces. sftp: on a file server. "
            "s3: in a bucket. The last two with Docker only."
        ),
    )
    sftp: SftpSection | None = Field(None, description="The file server, for carrier sftp.")
    s3: S3Section | None = Field(None, description="The bucket, for carrier s3.")

    @model_validator(mode="after")
    def _is_described(self) -> Self:
        for name in (SFTP, S3):
            if self.carrier == name and getattr(self, name) is None:
                raise ValueError(f"carrier {name!r} needs the section [storage.{name}]")
        return self
