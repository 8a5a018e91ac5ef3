"""Databases of an earlier version, with people in them: ours and JupyterHub's."""

import asyncio
from pathlib import Path

import alembic.command
from alembic.config import Config
from jupyterhub import dbutil, orm
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url

import petrihub_core.migrations
from petrihub_core.database import migrate
from petrihub_core.deployment import Deployment, read_deployment

from tests.conftest import postgres_database

FIRST = "0001"
PEOPLE = 30


def sync(url: str) -> URL:
    """The address with a driver that blocks."""
    plain = make_url(url)
    postgres = plain.get_backend_name() == "postgresql"
    return plain.set(drivername="postgresql+psycopg" if postgres else "sqlite")


def make_deployment(state: Path, server: str = "") -> Deployment:
    """A deployment in `state`; on the PostgreSQL server `server` if one is named."""
    state.mkdir(parents=True, exist_ok=True)
    lines = []
    if server:
        ours = asyncio.run(postgres_database(server))
        hubs = asyncio.run(postgres_database(server)).replace("+asyncpg", "+psycopg")
        lines = ["[database]", f'url = "{ours}"', f'hub_url = "{hubs}"']
    (state / "petrihub.toml").write_text("\n".join(lines))
    deployment = read_deployment(state / "petrihub.toml")
    deployment.secrets.mkdir(mode=0o700, exist_ok=True)
    (deployment.secrets / "settings_keys").write_text("k1 00\n")
    return deployment


def make_older(deployment: Deployment) -> None:
    """Both databases as an earlier version left them."""
    ours = create_engine(sync(deployment.database_url), poolclass=NullPool)
    with ours.begin() as connection:
        _to_revision(connection, FIRST)
        connection.execute(text("DELETE FROM people"))
        for number in range(PEOPLE):
            connection.execute(
                text(
                    "INSERT INTO people (id, issuer, subject, username, role, active, created_at) "
                    "VALUES (:id, 'local', :id, :name, 'admin', true, '2026-01-01 00:00:00')"
                ),
                {"id": f"{number:026d}", "name": f"p{number}"},
            )
    make_hub_tables(deployment)
    with dbutil._temp_alembic_ini(deployment.hub_database_url) as ini:
        alembic.command.downgrade(Config(ini), "-1")


def make_hub_tables(deployment: Deployment) -> None:
    """JupyterHub's tables of this version, with two users."""
    session = orm.new_session_factory(deployment.hub_database_url)()
    session.add_all([orm.User(name="ada"), orm.User(name="grace")])
    session.commit()
    session.get_bind().dispose()
    session.close()


def make_current(deployment: Deployment) -> None:
    """Both databases of this version, with people in them."""
    asyncio.run(migrate(deployment.database_url))
    make_hub_tables(deployment)


def _to_revision(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(petrihub_core.migrations.__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, revision)


def ask(url: str, query: str) -> object:
    """One value out of a database."""
    engine = create_engine(sync(url), poolclass=NullPool)
    with engine.connect() as connection:
        return connection.scalar(text(query))


def execute(url: str, statement: str) -> None:
    """One change of a database."""
    engine = create_engine(sync(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement))
