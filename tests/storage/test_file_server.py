"""The file server against real clients: OpenSSH's own ssh and sftp."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from petrihub_core.places import Kind
from petrihub_sidecars.mounts import carriers, orders

from tests.storage.house import House, Started, Tables, wait_for

pytestmark = pytest.mark.timeout(300)


def options(house: House, started: Started) -> list[str]:
    known = house.folder / "known_hosts"
    key = house.deployment.storage.sftp.host_key
    known.write_text(f"[{house.address}]:{house.port} {key}\n")
    return [
        "-F", "none", "-i", str(started.key_file), "-o", "BatchMode=yes",
        "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}",
        "-o", "StrictHostKeyChecking=yes", "-o", f"Port={house.port}",
    ]  # fmt: skip


def sftp(house: House, started: Started, account: str, *commands: str):
    """The sftp client after these commands; the first that fails ends it."""
    return subprocess.run(
        ["sftp", *options(house, started), "-b", "-", f"{account}@{house.address}"],
        input="".join(f"{each}\n" for each in commands),
        text=True,
        capture_output=True,
        timeout=60,
    )


def let_in(house: House, started: Started, account: str) -> bool:
    return sftp(house, started, account, "ls").returncode == 0


def ssh(house: House, started: Started, account: str, *words: str):
    """OpenSSH's client with these further options or words."""
    return subprocess.run(
        ["ssh", *options(house, started), *words[:-1], f"{account}@{house.address}", *words[-1:]],
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


@contextmanager
def session(house: House, started: Started, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A session of SFTP at home that stands, with these further options."""
    account = f"h-{started.person}@{house.address}"
    held = subprocess.Popen(
        ["ssh", *options(house, started), *words, account, "-s", "sftp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert held.stdin
        assert held.stdout
        held.stdin.write(b"\0\0\0\5\1\0\0\0\3")  # SSH_FXP_INIT
        held.stdin.flush()
        assert held.stdout.read(5)[4] == 2  # its answer: the session stands
        yield held
    finally:
        held.kill()
        held.wait(60)


async def known(house: House, tables: Tables) -> Started:
    """Somebody's started workspace, which the file server has heard of."""
    started = await tables.start(await tables.person())
    wait_for(lambda: let_in(house, started, f"h-{started.person}"), "the key", lambda: house.log)
    return started


async def test_a_workspace_writes_and_reads_its_home(house: House, tables: Tables) -> None:
    ada = await tables.person()
    started = await tables.start(ada)
    account = f"h-{ada}"
    wait_for(lambda: let_in(house, started, account), "the key", lambda: house.log)
    (house.folder / "paper").write_text("words")
    done = sftp(house, started, account, f"put {house.folder}/paper files/paper", "ls -l files")
    assert done.returncode == 0, done.stderr
    assert (house.data / "homes" / ada / "files" / "paper").read_text() == "words"
    uid = (house.data / "homes" / ada / "files").stat().st_uid
    assert (house.data / "homes" / ada / "files" / "paper").stat().st_uid == uid > 1_000_000_000


async def test_what_is_in_the_folders_is_counted_and_told(house: House, tables: Tables) -> None:
    """A38: as the account, in its folder alone: links lead nowhere. Only the server may tell."""
    person = await tables.person()
    group = await tables.group(person)
    accounts = {"home": f"h-{person}", "shared": f"g-{group}"}
    mine = await tables.start(person, *accounts.values())
    for account in accounts.values():
        wait_for(lambda: let_in(house, mine, account), "the key", lambda: house.log)  # noqa: B023
    house.stop_file_server()
    home, shared = (house.data / name / "files" for name in (f"homes/{person}", f"groups/{group}"))
    (home / "data").write_bytes(b"x" * 1_000_000)
    (shared / "scan").write_bytes(b"x" * 5_000_000)
    for name, to in (("root", "/"), ("tables", str(house.deployment.state)), ("up", "../..")):
        (home / name).symlink_to(to)
    (home / "closed").mkdir(mode=0)
    house.start_file_server()  # what it has not counted yet, it counts now
    used = {"home": (Kind.HOME, person), "shared": (Kind.SHARED, group)}
    rows = {name: await tables.used(*place, files=1) for name, place in used.items()}
    assert 1_000_000 <= rows["home"].size_bytes < 1_100_000
    assert (rows["home"].files, rows["home"].partial) == (4, True)
    assert 5_000_000 <= rows["shared"].size_bytes < 5_100_000
    assert (rows["shared"].files, rows["shared"].partial) == (1, False)

    # a folder that a deleted group left is listed until somebody removes it
    await tables.delete_group(group)
    shutil.rmtree(house.data / "groups" / group)
    await tables.not_used(Kind.SHARED, group)

    told = {"account": accounts["home"], "counted": {"size_bytes": 1, "files": 1, "partial": False}}
    token = (house.folder / "token").read_text().strip()
    async with httpx.AsyncClient(base_url=f"{house.url}/services/portal/storage/") as ask:
        for proof, said in ((f"{token}x", told), (token, {**told, "account": "h-nobody"})):
            headers = {"Authorization": f"Bearer {proof}"}
            assert (await ask.post("counts", json=said, headers=headers)).status_code == 404
    assert (await tables.used(*used["home"], files=1)).files == 4


async def test_a40_a_key_opens_only_what_its_workspace_mounts(house: House, tables: Tables) -> None:
    """A40: another person's folder, a group's, the public one for writing, made-up names, root."""
    mine, theirs = await known(house, tables), await known(house, tables)
    group = await tables.group(theirs.person)
    strangers = (f"h-{theirs.person}", f"g-{group}", "public", "public-w", "root", "petrihub-keys")
    for account in (*strangers, "h-", "h-../x", "sshd", "nobody"):
        assert not let_in(house, mine, account), account


async def test_a40_no_shell_no_forwarding_no_terminal(house: House, tables: Tables) -> None:
    """A40: what OpenSSH could do beyond files."""
    mine = await known(house, tables)
    account = f"h-{mine.person}"
    said = ssh(house, mine, account, "id")
    assert "uid=" not in said.stdout
    assert "PTY allocation request failed" in ssh(house, mine, account, "-tt", "id").stderr
    remote = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", "-N"]
    assert "forwarding failed" in ssh(house, mine, account, *remote).stderr
    through = ssh(house, mine, account, "-W", f"127.0.0.1:{house.portal_port}", "x")
    assert "administratively prohibited" in through.stderr, through


async def test_a40_no_agent_is_forwarded(
    house: House, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A40: a session that offers an agent gets none, though there would be room for its socket."""
    mine = await known(house, tables)
    room = house.data / "homes" / mine.person / "tmp"  # in the session's view: /tmp
    room.mkdir()
    room.chmod(0o1777)
    agent = str(house.folder / "agent")
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    keeps = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        wait_for(lambda: Path(agent).exists(), "the agent")
        with session(house, mine, "-A") as held:
            # what was asked for before the session was answered is settled
            assert held.poll() is None
            assert list(room.iterdir()) == []
    finally:
        keeps.terminate()
        keeps.wait(60)


async def test_a38_nobody_leaves_their_folder(house: House, tables: Tables) -> None:
    """A38: by a link, by dots, by an absolute path; a link is stored as a link."""
    mine, theirs = await known(house, tables), await known(house, tables)
    secret = house.data / "homes" / theirs.person / "files" / "secret"
    secret.write_text("theirs")
    account = f"h-{mine.person}"
    wanted = house.folder / "stolen"
    for link in (str(secret), f"../../{theirs.person}/files/secret", "/etc/passwd"):
        tries = ("cd files", "-rm way", f"symlink {link} way", f"-get way {wanted}", "-ls way/")
        done = sftp(house, mine, account, *tries)
        assert done.returncode == 0, done.stderr
        assert (house.data / "homes" / mine.person / "files" / "way").is_symlink()
    outside = (str(secret), "../../../../etc/passwd", f"/../{theirs.person}/files/secret")
    assert sftp(house, mine, account, *(f"-get {each} {wanted}" for each in outside)).stderr
    assert not wanted.exists()
    # nothing can be put beside the folder: its parent is root's
    assert sftp(house, mine, account, "mkdir beside").returncode != 0


async def test_public_is_read_by_all_and_written_by_who_may(house: House, tables: Tables) -> None:
    reader = await tables.start(await tables.person(), "public")
    writer = await tables.start(await tables.person(), "public-w")
    wait_for(lambda: let_in(house, writer, "public-w"), "the writer", lambda: house.log)
    wait_for(lambda: let_in(house, reader, "public"), "the reader", lambda: house.log)
    (house.folder / "notice").write_text("for all")
    put = f"put {house.folder}/notice files/notice"
    assert sftp(house, writer, "public-w", put).returncode == 0
    assert sftp(house, reader, "public", f"get files/notice {house.folder}/got").returncode == 0
    assert (house.folder / "got").read_text() == "for all"
    changes = (put, "rm files/notice", "mkdir files/x", "chmod 777 files/notice")
    refused = sftp(house, reader, "public", *(f"-{each}" for each in changes)).stderr
    assert len(refused.splitlines()) >= len(changes), refused
    assert (house.data / "public/files/notice").read_text() == "for all"
    assert [each.name for each in (house.data / "public/files").iterdir()] == ["notice"]
    assert not let_in(house, reader, "public-w")


async def test_a40_a_key_is_dead_after_the_stop(house: House, tables: Tables) -> None:
    """A40: an open session ends and no new one begins; the portal lists no key any more."""
    mine = await known(house, tables)
    other = await known(house, tables)
    with session(house, mine) as held:
        await tables.stop(mine)
        held.wait(60)  # the promise is 60 s
    assert not let_in(house, mine, f"h-{mine.person}")
    assert let_in(house, other, f"h-{other.person}")


async def test_a_member_who_left_loses_the_groups_folder(house: House, tables: Tables) -> None:
    person = await tables.person()
    group = await tables.group(person)
    mine = await tables.start(person, f"h-{person}", f"g-{group}")
    wait_for(lambda: let_in(house, mine, f"g-{group}"), "the key", lambda: house.log)
    await tables.leave(person, group)
    wait_for(lambda: not let_in(house, mine, f"g-{group}"), "the end", lambda: house.log)
    assert let_in(house, mine, f"h-{person}")


async def test_the_portal_publishes_public_keys_and_tells_logins_to_the_server_alone(
    house: House, tables: Tables
) -> None:
    """`/instances/<id>/keys` is a JWK set, empty after the stop; the other needs the token."""
    mine = await tables.start(await tables.person())
    async with httpx.AsyncClient(
        base_url=f"{house.url}/services/portal/", trust_env=False
    ) as client:
        token = (house.folder / "token").read_text().strip()
        assert (await client.get("storage/logins")).status_code == 404
        for wrong in ("Bearer", "Bearer x", f"Bearer {token}x", f"token {token}"):
            answer = await client.get("storage/logins", headers={"Authorization": wrong})
            assert answer.status_code == 404, wrong
        logins = await client.get("storage/logins", headers={"Authorization": f"Bearer {token}"})
        (login,) = (e for e in logins.json()["logins"] if e["account"] == f"h-{mine.person}")
        (key,) = (await client.get(f"instances/{login['instance']}/keys")).json()["keys"]
        assert (key["kty"], key["crv"], key["kid"]) == ("OKP", "Ed25519", login["instance"])
        public = subprocess.run(  # noqa: ASYNC221
            ["ssh-keygen", "-y", "-f", mine.key_file], capture_output=True, text=True, check=True
        ).stdout
        assert public.split()[:2] == login["key"].split()
        await tables.stop(mine)
        assert (await client.get(f"instances/{login['instance']}/keys")).json() == {"keys": []}
        assert (await client.get("instances/unknown/keys")).status_code == 404


async def test_the_helper_says_who_refuses_whom(
    house: House, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words that a start shows: let in, a key that has ended, another host key."""
    mine = await known(house, tables)
    section = house.deployment.storage.sftp
    asked = {"host": section.host, "port": section.port, "account": f"h-{mine.person}"}
    monkeypatch.setattr(orders, "PRIVATE", tmp_path)
    other = subprocess.check_output(["ssh-keygen", "-y", "-f", mine.key_file], text=True)  # noqa: ASYNC221

    def order(host_key: str) -> orders.Order:
        told = {"name": "home", "path": "/", "title": "", "read_only": False}
        remote = {"kind": "sftp", **asked, "host_key": host_key}
        monkeypatch.setenv(orders.KEY_VARIABLE, mine.key)
        monkeypatch.setenv(orders.MOUNTS_VARIABLE, json.dumps([{**told, "remote": remote}]))
        return orders.take_orders()[0]

    await carriers.check(order(section.host_key))
    with pytest.raises(carriers.Refused, match="host key is another"):
        await carriers.check(order(" ".join(other.split()[:2])))
    await tables.stop(mine)
    wait_for(lambda: not let_in(house, mine, asked["account"]), "the end", lambda: house.log)
    with pytest.raises(carriers.Refused, match="does not accept this workspace's key"):
        await carriers.check(order(section.host_key))


async def test_the_machine_knows_none_of_the_accounts(house: House, tables: Tables) -> None:
    """sshd has its own view: the accounts can log in nowhere else."""
    mine = await known(house, tables)
    ask = ["getent", "passwd", f"h-{mine.person}"]
    assert subprocess.run(ask, check=False).returncode != 0  # noqa: ASYNC221


async def test_after_a_restart_the_same_folders_belong_to_the_same_accounts(
    house: House, tables: Tables
) -> None:
    mine = await known(house, tables)
    folder = house.data / "homes" / mine.person / "files"
    before, key = folder.stat().st_uid, house.deployment.storage.sftp.host_key
    house.stop_file_server()
    house.start_file_server()
    wait_for(lambda: let_in(house, mine, f"h-{mine.person}"), "the key", lambda: house.log)
    assert folder.stat().st_uid == before
    assert house.deployment.storage.sftp.host_key == key
