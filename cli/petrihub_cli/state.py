"""The state folder: its configuration file, its keys and the ports that must not change."""

import json
import secrets
from pathlib import Path

import tomlkit

from petrihub_core.carriers import FILE_SERVER_TOKEN, SFTP
from petrihub_core.deployment import Deployment, parse_deployment, read_deployment
from petrihub_core.errors import ConfigError
from petrihub_core.files import write_whole
from petrihub_core.ports import free_ports

CONFIG_NAME = "petrihub.toml"
_PORTS = ("hub", "proxy_api", "portal", "front")
_PORTALS = ("portal", "portal_2")  # where the parts run apart
_IMAGES = ("registry", "images", "images_service")  # of the image server

_FIRST = """\
# PetriHub: what is fixed at start. Every setting: docs/reference/configuration.md
# Check after a change with: petrihub config check

backend = "local"

[address]
host = "127.0.0.1"
port = 8000

[workspaces]
per_person = 3
# Ctrl-C on scripts/up stops the workspaces too. Set to false where the hub runs as a service.
stop_on_exit = true
"""


def open_state(folder: Path, *, backend: str | None = None, port: int | None = None) -> Path:
    """The configuration file in `folder`, written on first use; a given value replaces the file's.

    Raises `ConfigError` if the folder cannot be used or the file is not valid.
    """
    config = folder / CONFIG_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = config.read_text() if config.exists() else _FIRST
        document = tomlkit.parse(text)
        if backend is not None:
            document["backend"] = backend
        if port is not None:
            document.setdefault("address", tomlkit.table())["port"] = port
        changed = tomlkit.dumps(document)
        parse_deployment(changed, config)  # a wrong flag must not spoil the file
        if not config.exists() or changed != text:
            write_whole(config, changed)
    except OSError as exc:
        raise ConfigError(
            f"The state folder {folder} cannot be used: {exc.strerror}.",
            hint="Choose another with --state.",
        ) from exc
    except tomlkit.exceptions.TOMLKitError as exc:
        raise ConfigError(
            f"{config}: this is not valid TOML: {exc}.",
            hint="Correct the line, then run `petrihub config check`.",
        ) from exc
    return config


def find_state(folder: Path) -> Deployment:
    """The deployment that already lives in `folder`; raises `ConfigError` if there is none."""
    config = folder / CONFIG_NAME
    if not config.exists():
        raise ConfigError(
            f"There is no PetriHub in {folder}.",
            hint="Start one with `petrihub up`, or name its folder with --state.",
        )
    return read_deployment(config)


def keys(deployment: Deployment) -> dict[str, str]:
    """The tokens of our parts and the key of the portal's cookies, made on first use, ours only."""
    deployment.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    found: dict[str, str] = {}
    names = ["proxy_token", "reconciler_token", "portal_token", "portal_cookie_key"]
    if deployment.storage.carrier == SFTP:
        names.append(FILE_SERVER_TOKEN)
    for name in names:
        path = deployment.secrets / name
        if not path.exists():
            write_privately(path, secrets.token_hex(32))
        found[name] = path.read_text().strip()
    return found


def write_privately(path: Path, text: str) -> None:
    """Write the file in one go, readable by this account only; a reader sees all of it or none."""
    write_whole(path, text, mode=0o600)


def inner_ports(deployment: Deployment) -> dict[str, int]:
    """Ports of the hub, of the proxy's own API, of the portal and inside the front, chosen once.

    Running workspaces remember the hub's port, so it must survive a restart of the hub.
    """
    path = deployment.state / "ports.json"
    kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    wanted = {*_PORTS, *(_PORTALS if deployment.parts == "apart" else ())}
    wanted |= {*(_IMAGES if deployment.backend == "docker" else ())}
    missing = sorted(wanted - kept.keys())
    if missing:
        kept |= dict(zip(missing, free_ports(len(missing)), strict=True))
        write_whole(path, json.dumps(kept))
    return kept


def portal_ports(deployment: Deployment) -> list[int]:
    """The ports of all replicas of the portal."""
    ports = inner_ports(deployment)
    return [ports[name] for name in _PORTALS if name in ports]


def hub_address(deployment: Deployment) -> str:
    """host:port of the hub, as the other parts reach it without asking the engine."""
    subnet = deployment.docker.hub_subnet
    reachable = deployment.backend == "docker" and subnet
    host = str(next(subnet.hosts())) if subnet and reachable else "127.0.0.1"
    return f"{host}:{inner_ports(deployment)['hub']}"
