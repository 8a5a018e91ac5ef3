"""Putting a backup back: checked and made ready in a place of its own, and only then let in.

A restored database is as old as its backup, and so would be what it allows: whoever was signed in
then, every token, link and share, also those that were ended since. So they are ended, unless the
operator says that nothing was ended since. Roles and deactivations are as they were.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jupyterhub import dbutil, orm
from sqlalchemy import NullPool, create_engine, delete, inspect, select, update
from sqlalchemy.engine import URL

import petrihub_core.migrations
from petrihub_cli import backup_seal, postgres_copy, sqlite_copy
from petrihub_cli.backup import databases, is_sqlite
from petrihub_cli.backup_seal import IDENTITY, KEYS, SIGNING_KEY, Database, Manifest
from petrihub_cli.state import CONFIG_NAME
from petrihub_core.checkpoint_share_records import CheckpointShare
from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.errors import Conflict, Refused
from petrihub_core.records import Person, RoleGrant, SignInLink, WorkspaceShare, now

_OURS = ("database_password", "postgres_password")  # belong to the server, not to the data


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a backup is to be put back; without `key` the state folder's own counts."""

    key: str = ""
    unsigned: bool = False  # whoever could write to the backup could become an administrator
    keep_sessions: bool = False


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What there is now. `privileged` are names of active people with roles, and their roles."""

    deployment: Deployment
    made_at: str
    privileged: tuple[str, ...]


def restore(backup: Path, state: Path, wish: Wish) -> Restored:
    """Put `backup` into the fresh state folder `state`.

    Blocks. The folder may be new, or made by `petrihub init`; its databases must be empty. Its own
    database passwords stay. Raises `Refused` for what is no backup, an altered or a foreign one,
    `Conflict` if there are tables; then nothing was changed.
    """
    made_folder = not state.exists()
    state.mkdir(parents=True, exist_ok=True)
    try:
        with _quarantine(state) as place:
            key = _key(state, wish)
            about = backup_seal.take(backup, place, key)
            return _let_in(place, state, about, wish)
    except BaseException:
        if made_folder:
            shutil.rmtree(state, ignore_errors=True)
        raise


@contextmanager
def _quarantine(state: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=".restoring-", dir=state))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _key(state: Path, wish: Wish) -> Ed25519PublicKey | None:
    if wish.unsigned:
        return None
    if wish.key:
        return backup_seal.read_key(wish.key)
    if (state / KEYS / SIGNING_KEY).exists():
        return backup_seal.read_key(backup_seal.public_key(state / KEYS))
    raise Refused(
        "Whether this backup is yours cannot be told without the key of its PetriHub.",
        hint="`petrihub backup` prints it: name it with --key. If it is lost and nobody else could "
        "write to this backup, take it with --unsigned.",
    )


def _let_in(place: Path, state: Path, about: Manifest, wish: Wish) -> Restored:
    config = state / CONFIG_NAME
    fresh_config = not config.exists()
    try:
        if fresh_config:
            _take_config(place, config)
        deployment = read_deployment(config)
        privileged = _make_ready(place, databases(deployment), about, wish)
    except BaseException:
        if fresh_config:
            config.unlink(missing_ok=True)
        raise
    for source, target in _kept_keys(place, deployment):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)
    for name, url in databases(deployment).items():
        if is_sqlite(url) and name in about.rows:
            (place / f"{name}.sqlite").rename(str(url.database))
    return Restored(deployment=deployment, made_at=about.made_at, privileged=privileged)


def _take_config(place: Path, config: Path) -> None:
    if not (place / CONFIG_NAME).exists():
        raise Refused(
            f"The backup has no {CONFIG_NAME}.", hint="Make the folder with `petrihub init`."
        )
    shutil.copyfile(place / CONFIG_NAME, config)


def _make_ready(
    place: Path, urls: dict[Database, URL], about: Manifest, wish: Wish
) -> tuple[str, ...]:
    """Check the databases, end what they allow; who has a role. SQLite stays in `place` so far."""
    for name, revision in about.revisions.items():
        _require_known(name, revision)
    for name in about.rows:
        _require_empty(urls[name])
        _require_same_kind(place, name, urls[name])
    privileged: tuple[str, ...] = ()
    for name, rows in about.rows.items():
        if is_sqlite(urls[name]):
            copied = place / f"{name}.sqlite"
            sqlite_copy.check_foreign(copied, rows)
            url = URL.create("sqlite", database=str(copied))
        else:
            postgres_copy.put_back(place / f"{name}.dump", urls[name], rows)
            url = postgres_copy.plain(urls[name])
        if not wish.keep_sessions:
            _end_what_was_allowed(name, url)
        if name == "petrihub":
            privileged = tuple(_privileged(url))
    return privileged


def _require_known(name: Database, revision: str) -> None:
    config = Config()
    ours = str(Path(petrihub_core.migrations.__file__).parent)
    config.set_main_option("script_location", ours if name == "petrihub" else dbutil.ALEMBIC_DIR)
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if revision and revision not in known:
        whose = "PetriHub" if name == "petrihub" else "JupyterHub"
        raise Refused(
            f"This backup was made by a newer {whose} (its tables are at {revision[:32]}).",
            hint="Nothing was changed. Put it back with that version or a later one.",
        )


def _require_empty(url: URL) -> None:
    full = Path(url.database or "").exists() if is_sqlite(url) else bool(postgres_copy.tables(url))
    if full:
        raise Conflict(
            f"There are tables already in {url.database}.",
            hint="A backup is put back into a fresh folder only. Choose another with --state.",
        )


def _require_same_kind(place: Path, name: str, url: URL) -> None:
    suffix = ".sqlite" if is_sqlite(url) else ".dump"
    if not (place / f"{name}{suffix}").exists():
        raise Refused(
            f"This backup of {name} is not of the same kind of database as {url.database}.",
            hint="SQLite goes back to SQLite, PostgreSQL to PostgreSQL: see [database].",
        )


def _end_what_was_allowed(name: Database, url: URL) -> None:
    """End sessions, tokens, one-time links and shares; tables that it had not yet are passed."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        has = set(inspect(connection).get_table_names())
        if name == "petrihub":
            if SignInLink.__tablename__ in has:
                unused = SignInLink.used_at.is_(None), SignInLink.revoked_at.is_(None)
                connection.execute(update(SignInLink).where(*unused).values(revoked_at=now()))
            for shares in (WorkspaceShare, CheckpointShare):
                if shares.__tablename__ in has:
                    held = shares.ended_at.is_(None)
                    connection.execute(update(shares).where(held).values(ended_at=now()))
            return
        connection.execute(delete(orm.APIToken).where(orm.APIToken.user_id.is_not(None)))
        for each in (orm.OAuthCode, orm.ShareCode, orm.Share):
            if each.__tablename__ in has:
                connection.execute(delete(each))
        # the login cookie holds this id
        for person in connection.scalars(select(orm.User.id)).all():
            fresh = update(orm.User).where(orm.User.id == person)
            connection.execute(fresh.values(cookie_id=secrets.token_hex(16)))


def _privileged(url: URL) -> list[str]:
    """Who has a role in the restored tables, so that the operator can judge it."""
    roles = (
        select(Person.username, RoleGrant.role)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(Person.active)
        .order_by(RoleGrant.role, Person.username)
    )
    with create_engine(url, poolclass=NullPool).connect() as connection:
        if not inspect(connection).has_table(RoleGrant.__tablename__):
            return []
        return [f"{row.username} ({row.role})" for row in connection.execute(roles)]


def _kept_keys(place: Path, deployment: Deployment) -> Iterator[tuple[Path, Path]]:
    for source in sorted((place / KEYS).glob("*")):
        if source.name not in (*_OURS, SIGNING_KEY):
            yield source, deployment.secrets / source.name
    if (place / IDENTITY).exists():
        yield place / IDENTITY, deployment.state / IDENTITY
