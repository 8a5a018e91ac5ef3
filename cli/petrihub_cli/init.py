"""`petrihub init`: an empty folder becomes a server's installation, with secrets of its own."""

import os
import secrets
import stat
from ipaddress import IPv4Network
from pathlib import Path
from string import Template

from petrihub_cli.engine import SYSTEM_SOCKET
from petrihub_cli.image_server import REGISTRY_SECRET, server_of
from petrihub_cli.product import ROOT
from petrihub_cli.state import CONFIG_NAME, inner_ports, keys, write_privately
from petrihub_core.addresses import TRUSTED_ONLY
from petrihub_core.deployment import Deployment, parse_deployment, read_deployment
from petrihub_core.errors import ConfigError, Conflict
from petrihub_core.image_server import ensure_registry_key, write_image_server
from petrihub_core.ports import free_port, port_is_free
from petrihub_core.settings.vault import new_key_line

_TEMPLATES = ROOT / "deploy" / "compose"
_COMPOSE = "compose.yaml"
_ENV = ".env"
_ACCOUNT = 10_213  # runs the containers where root made the folder; no name of Debian's is near it
_FOLDERS = (
    *("secrets", "front", "run/postgres", "run/engine", "postgres", "backups", "logs"),
    "images",
)
_SECRETS = ("database_password", "postgres_password", "cookie_secret", REGISTRY_SECRET)
_POOLS = [IPv4Network(f"10.{number}.0.0/16") for number in range(213, 255)]


def init_server(folder: Path, *, domain: str, socket: str, subdomains: bool = True) -> str:
    """Make `folder` an installation; what to do next, in words.

    Run again it writes what is missing and this version's compose.yaml, and keeps the rest. Raises
    `Conflict` for a folder with other things in it, `ConfigError` for what cannot be used.
    """
    folder = folder.resolve()
    again = _is_ours(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deployment = read_deployment(folder / CONFIG_NAME) if again else None
        if deployment is None:
            deployment = _write_settings(
                folder, domain, Path(socket or SYSTEM_SOCKET), subdomains=subdomains
            )
        _write_secrets(deployment)
        _place_image_server(deployment)
        (folder / _COMPOSE).write_text((_TEMPLATES / _COMPOSE).read_text())
        _hand_over(folder)
    except OSError as exc:
        raise ConfigError(
            f"The folder {folder} cannot be used: {exc.strerror}.",
            hint="Choose another, or run this as root: sudo keeps the secrets readable to it only.",
        ) from exc
    build = f"petrihub images build --state {folder}"
    if socket:
        build += f" --socket {socket}"
    if again:
        return (
            f"{folder}: compose.yaml is of this version; settings and secrets are as before.\n"
            f"Next: {build}, then: cd {folder} && docker-compose up -d"
        )
    return (
        f"{folder} is ready for {deployment.public_url}. Next:\n"
        f"  {build}\n"
        f"  cd {folder}\n"
        "  docker-compose up -d\n"
        "  docker-compose exec hub petrihub admin link\n"
        "Settings: petrihub.toml and .env in that folder; secrets: one file each in secrets/.\n"
        f"{_about_names(deployment)}"
    )


def _about_names(deployment: Deployment) -> str:
    if not deployment.front.origins:
        return TRUSTED_ONLY
    return (
        "Each person's workspaces are at a name of their own: "
        f"*.{deployment.front.domain} needs a DNS record and a certificate."
    )


def _is_ours(folder: Path) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if (folder / CONFIG_NAME).exists() and (folder / _ENV).exists():
        return True
    raise Conflict(
        f"{folder} is not empty, and what is in it was not made by this command.",
        hint="Name an empty folder, or one that does not exist yet.",
    )


def _write_settings(folder: Path, domain: str, socket: Path, *, subdomains: bool) -> Deployment:
    if not domain:
        raise ConfigError(
            "A server needs the name under which browsers reach it.",
            hint="Give it with --domain, such as: petrihub init DIR --domain hub.example.org",
        )
    pool = _free_pool()
    uid, gid = _account()
    values: dict[str, object] = {
        "domain": domain,
        "subdomains": "true" if subdomains else "false",
        "socket": str(socket),
        "engine_gid": _group_of(socket),
        "project": f"petrihub-{secrets.token_hex(3)}",
        "uid": uid,
        "gid": gid,
        "proxy_port": _free_port(),
        "network_pool": pool,
        # the last of its networks; workspaces take others by themselves
        "hub_subnet": list(pool.subnets(new_prefix=28))[-1],
    }
    text = _filled("petrihub.toml.template", values)
    deployment = parse_deployment(text, folder / CONFIG_NAME)  # a wrong name must leave nothing
    write_privately(folder / _ENV, _filled("env.template", values))
    write_privately(folder / CONFIG_NAME, text)
    return deployment


def _filled(template: str, values: dict[str, object]) -> str:
    return Template((_TEMPLATES / template).read_text()).substitute(values)


def _write_secrets(deployment: Deployment) -> None:
    for name in _FOLDERS:
        (deployment.state / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    keys(deployment)
    inner_ports(deployment)  # all of them: most containers may not write
    fresh = {name: secrets.token_hex(32) for name in _SECRETS}
    fresh["settings_keys"] = f"{new_key_line()}\n"
    for name, text in fresh.items():
        if not (deployment.secrets / name).exists():
            write_privately(deployment.secrets / name, text)
    uid, gid = _account()
    if not (deployment.state / "passwd").exists():
        # programs in the containers ask who they are
        (deployment.state / "passwd").write_text(
            f"root:x:0:0:root:/:/usr/sbin/nologin\npetrihub:x:{uid}:{gid}::/tmp:/usr/sbin/nologin\n"
        )
    # a part that may only add to a file needs it to be there
    (deployment.state / "audit-heads.jsonl").touch(mode=0o600)
    deployment.id  # noqa: B018 - chosen on first use


def _place_image_server(deployment: Deployment) -> None:
    """Say where it will be: most containers may not write, and the hub's network is fixed."""
    ensure_registry_key(deployment)
    subnet = deployment.docker.hub_subnet
    if subnet is None:
        raise ConfigError(
            f"{deployment.state / CONFIG_NAME} names no hub_subnet, so the image server has no "
            "place.",
            hint='Add to [docker], for example: hub_subnet = "10.213.255.240/28"',
        )
    write_image_server(deployment, server_of(deployment, str(next(subnet.hosts()))))


def _account() -> tuple[int, int]:
    return (os.getuid(), os.getgid()) if os.getuid() else (_ACCOUNT, _ACCOUNT)


def _group_of(socket: Path) -> int:
    try:
        found = socket.stat()
    except OSError as exc:
        raise ConfigError(
            f"There is no Docker engine at {socket}: {exc.strerror}.",
            hint="Run: sudo apt-get install docker.io docker-compose. Or name its --socket.",
        ) from exc
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{socket} is not a socket.", hint="Name the engine's with --socket.")
    return found.st_gid


def _free_pool() -> IPv4Network:
    # the Docker client is an optional dependency
    from petrihub_spawner.backends.networks import networks_of_this_machine

    taken = networks_of_this_machine()
    for pool in _POOLS:
        if not any(pool.overlaps(network) for network in taken):
            return pool
    raise Conflict(
        "All the networks from 10.213.0.0/16 to 10.254.0.0/16 are used on this machine.",
        hint="Free one of them: workspaces get their networks out of it.",
    )


def _free_port() -> int:
    if port_is_free("127.0.0.1", 8000):
        return 8000
    return free_port()


def _hand_over(folder: Path) -> None:
    """Give what root made to the account that the containers run as."""
    if os.getuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_uid == 0:
            os.chown(path, _ACCOUNT, _ACCOUNT, follow_symlinks=False)
