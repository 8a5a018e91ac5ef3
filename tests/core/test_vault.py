"""The vault: what is sealed opens only where it was sealed, and a rotation can end anywhere."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.errors import ConfigError, Conflict, Unavailable
from petrihub_core.records import AuditRow, SealedSecret
from petrihub_core.settings.vault import Vault, new_key_line

SECRET = "correct horse battery staple"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "secrets" / "keys")


async def test_a_secret_is_sealed_on_the_disk_and_open_for_us(
    vault: Vault, database: Database, tmp_path: Path
) -> None:
    async with database.session() as session:
        await vault.seal(session, "email", "password", SECRET, "ada")
    async with database.reading() as session:
        row = await session.get_one(SealedSecret, ("email", "password"))
        assert SECRET.encode() not in row.sealed
        assert await vault.open(session, "email", "password") == SECRET
        said = [str(each) for each in await session.scalars(select(AuditRow.detail))]
        assert not any(SECRET in each for each in said)
    mode = (tmp_path / "secrets" / "keys").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_sealed_value_copied_to_another_row_does_not_open(
    vault: Vault, database: Database
) -> None:
    async with database.session() as session:
        await vault.seal(session, "email", "password", SECRET, "ada")
        await vault.seal(session, "licence", "token", "x", "ada")
    async with database.session() as session:
        source = await session.get_one(SealedSecret, ("email", "password"))
        target = await session.get_one(SealedSecret, ("licence", "token"))
        target.sealed, target.key_id = source.sealed, source.key_id
    async with database.reading() as session:
        with pytest.raises(Unavailable, match=r"licence\.token cannot be opened"):
            await vault.open(session, "licence", "token")


async def test_a_wrong_key_says_so_in_words(
    vault: Vault, database: Database, tmp_path: Path
) -> None:
    async with database.session() as session:
        await vault.seal(session, "email", "password", SECRET, "ada")
    (tmp_path / "secrets" / "keys").write_text(new_key_line() + "\n")
    async with database.reading() as session:
        with pytest.raises(Unavailable) as refused:
            await vault.open(session, "email", "password")
    assert "Put back the key file" in refused.value.hint
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("content", ["", "k1 zz", "k1 abcd", "only-one-word", "k1 " + "0" * 63])
async def test_a_damaged_key_file_says_so(
    vault: Vault, database: Database, tmp_path: Path, content: str
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "keys").write_text(content)
    async with database.session() as session:
        with pytest.raises(ConfigError, match="damaged"):
            await vault.seal(session, "email", "password", SECRET, "ada")


async def test_after_every_step_of_a_rotation_everything_can_be_opened(
    vault: Vault, database: Database, tmp_path: Path
) -> None:
    async def opened() -> str | None:
        # as another process would: nothing is remembered
        async with database.reading() as session:
            return await Vault(tmp_path / "secrets" / "keys").open(session, "email", "password")

    async with database.session() as session:
        await vault.seal(session, "email", "password", SECRET, "ada")
        before = await session.get_one(SealedSecret, ("email", "password"))
        looked = (before.fingerprint, before.by, before.key_id)
    newest = vault.add_key()
    assert await opened() == SECRET
    async with database.session() as session:
        with pytest.raises(Conflict):  # killed here: the old key must stay
            await vault.drop_old_keys(session)
    async with database.session() as session:
        assert await vault.rotate(session, "petrihub") == 1
    assert await opened() == SECRET
    async with database.session() as session:
        assert await vault.drop_old_keys(session) == 1
    assert await opened() == SECRET
    async with database.reading() as session:
        after = await session.get_one(SealedSecret, ("email", "password"))
    assert (after.fingerprint, after.by) == looked[:2]  # who set it is still who set it
    assert after.key_id == newest != looked[2]
    assert len((tmp_path / "secrets" / "keys").read_text().splitlines()) == 1


async def test_a_rotation_that_is_undone_in_its_transaction_changes_nothing(
    vault: Vault, database: Database
) -> None:
    async with database.session() as session:
        await vault.seal(session, "email", "password", SECRET, "ada")
    vault.add_key()
    with pytest.raises(RuntimeError):
        async with database.session() as session:
            await vault.rotate(session, "petrihub")
            raise RuntimeError("killed")
    async with database.reading() as session:
        assert await vault.open(session, "email", "password") == SECRET


async def test_two_that_begin_at_once_make_one_key_file(tmp_path: Path) -> None:
    keys = await asyncio.gather(
        *(asyncio.to_thread(Vault(tmp_path / "keys")._keys) for _ in range(8))
    )
    assert len({tuple(each) for each in keys}) == 1
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["keys"]
