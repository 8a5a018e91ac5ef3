"""Where the databases are: the section of petrihub.toml, and the addresses made from it."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from petrihub_core.addresses import Section
from petrihub_core.errors import ConfigError


class DatabaseSection(Section):
    """Where our own tables are kept."""

    url: str = Field(
        "",
        description=(
            "SQLAlchemy address of the database, such as postgresql+asyncpg://name@host/petrihub, "
            "or with ?host=run/postgres for a socket in that folder of the state folder. "
            "Empty: an SQLite file in the state folder."
        ),
    )
    hub_url: str = Field(
        "",
        description=(
            "Address of the database of JupyterHub's own tables, such as "
            "postgresql+psycopg://name@host/jupyterhub. Empty: an SQLite file in the state folder."
        ),
    )
    portal_user: str = Field(
        "",
        description=(
            "Role with which the portal connects to url, with the same password: one with a "
            "connection limit leaves the hub its own. Empty: the role in url."
        ),
    )
    password_file: Path | None = Field(
        None,
        description=(
            "File that holds the database password, so that this file need not; "
            "relative to the state folder."
        ),
    )


def database_address(
    section: DatabaseSection, setting: Literal["url", "hub_url"], state: Path, *, user: str = ""
) -> str:
    """The SQLAlchemy address in `setting`, with its password; empty if none is set.

    A host that is a relative path is a folder with PostgreSQL's socket below the state folder, so
    that the same file holds wherever that folder is mounted. `user` replaces the name in it.
    Raises `ConfigError` if it is no address or the password cannot be read.
    """
    text: str = getattr(section, setting)
    if not text:
        return ""
    try:
        url = make_url(text)
    except ArgumentError as exc:
        raise ConfigError(
            f"[database] {setting} is not an address of a database.",
            hint="Example: postgresql+asyncpg://petrihub@127.0.0.1/petrihub",
        ) from exc
    host = url.query.get("host")
    if isinstance(host, str) and "/" in host:
        url = url.update_query_dict({"host": str((state / host).resolve())})
    if section.password_file:
        path = state / section.password_file
        try:
            url = url.set(password=path.read_text().strip())
        except OSError as exc:
            raise ConfigError(
                f"The database password cannot be read from {path}: {exc.strerror}.",
                hint="[database] password_file is relative to the state folder.",
            ) from exc
    if user:
        url = url.set(username=user)
    return url.render_as_string(hide_password=False)
