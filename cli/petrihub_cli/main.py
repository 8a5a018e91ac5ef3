"""`petrihub`: the list of commands."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from petrihub_authenticators.bootstrap import first_admin_link, reset_link
from petrihub_cli.audit import audit_app
from petrihub_cli.backup import back_up
from petrihub_cli.backup import restore as restore_backup
from petrihub_cli.engine_look import looks_at_engine
from petrihub_cli.images.commands import images_app
from petrihub_cli.init import init_server
from petrihub_cli.manual import configuration_manual
from petrihub_cli.parts import run_hub, run_portal, run_proxy
from petrihub_cli.settings_commands import settings_app
from petrihub_cli.state import find_state, keys
from petrihub_cli.up import Wishes
from petrihub_cli.up import up as run_platform
from petrihub_core.deployment import CONFIG_VARIABLE, NUMBER_VARIABLE, read_deployment
from petrihub_core.errors import PetriHubError
from petrihub_core.lease import fence
from petrihub_core.logs import configure_logs
from petrihub_portal.serve import serve as serve_portal
from petrihub_spawner.reconcile import run_forever

app = typer.Typer(
    name="petrihub",
    help="A research studio in the browser for life-science groups.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
admin_app = typer.Typer(help="Let the first admin in; recover a lost password.")
config_app = typer.Typer(help="Check what is fixed at start.")
app.add_typer(admin_app, name="admin", no_args_is_help=True)
app.add_typer(config_app, name="config", no_args_is_help=True)
app.add_typer(images_app, name="images", no_args_is_help=True)
app.add_typer(audit_app, name="audit", no_args_is_help=True)
app.add_typer(settings_app, name="settings", no_args_is_help=True)

_STATE = Path(".petrihub")
StateOption = Annotated[
    Path,
    typer.Option("--state", envvar="PETRIHUB_STATE", help="Folder that holds all state."),
]


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    raise typer.Exit(asyncio.run(work) or 0)


@app.command()
def up(
    state: StateOption = _STATE,
    backend: Annotated[
        str | None, typer.Option(help="local or docker; kept in the state folder.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port for browsers; 8000 at first.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    ca_bundle: Annotated[
        Path | None, typer.Option(help="CA certificates for image builds behind a proxy.")
    ] = None,
) -> None:
    """Run PetriHub on this machine until Ctrl-C."""
    wishes = Wishes(
        state=state, backend=backend, port=port, browser=not no_browser, ca_bundle=ca_bundle
    )
    _run(run_platform(wishes, Console(highlight=False, soft_wrap=True)))


@admin_app.command("link")
def admin_link(state: StateOption = _STATE) -> None:
    """Print a new one-time link for the first admin (24 hours), while there is no admin."""

    async def link() -> None:
        typer.echo(f"First admin: {await first_admin_link(find_state(state))}")

    _run(link())


@admin_app.command("reset")
def admin_reset(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
    state: StateOption = _STATE,
) -> None:
    """Print a one-time link with which NAME chooses a new password (24 hours)."""

    async def link() -> None:
        typer.echo(f"New password for {name}: {await reset_link(find_state(state), name)}")

    _run(link())


@config_app.command("check")
def config_check(
    state: StateOption = _STATE,
    config: Annotated[Path | None, typer.Option(help="A file elsewhere.")] = None,
) -> None:
    """Say whether petrihub.toml is usable, else which line is not and what is allowed."""
    path = config or state / "petrihub.toml"
    deployment = read_deployment(path)
    typer.echo(f"{path} is usable: backend {deployment.backend}, {deployment.public_url}")


@config_app.command("manual", hidden=True)
def config_manual() -> None:
    """Print the manual page of petrihub.toml."""
    typer.echo(configuration_manual(), nl=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="An empty folder, or one made by this command.")],
    domain: Annotated[
        str, typer.Option(help="Name under which browsers reach it, such as hub.example.org.")
    ] = "",
    socket: Annotated[
        str, typer.Option(help="Socket of the Docker engine; else the machine's own is asked for.")
    ] = "",
) -> None:
    """Write what a server needs: compose file, settings, fresh secrets. Keeps what is there."""
    typer.echo(init_server(folder, domain=domain, socket=socket))


@app.command()
def backup(state: StateOption = _STATE) -> None:
    """Copy both databases and the keys, read the copies back, print where they are."""
    typer.echo(f"Backup: {back_up(find_state(state), 'by-hand')}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `petrihub backup` has made.")],
    state: StateOption = _STATE,
) -> None:
    """Put a backup into a fresh state folder."""
    typer.echo(f"{restore_backup(folder, state).state} holds what {folder} held.")


@app.command(hidden=True)
def hub(state: StateOption = _STATE) -> None:
    """Run the hub alone; a container's command."""
    run_hub(state)


@app.command(hidden=True)
def proxy(state: StateOption = _STATE) -> None:
    """Run the routing proxy alone; a container's command."""
    run_proxy(state)


@app.command(hidden=True)
def replica(
    number: Annotated[int, typer.Argument(help="Which one, counted from 1.")],
    state: StateOption = _STATE,
) -> None:
    """Run one replica of the portal alone; a container's command."""
    configure_logs("portal")
    run_portal(state, number)


@app.command(hidden=True)
def reconcile() -> None:
    """Run the reconciler beside the hub; the hub starts it."""
    configure_logs("reconciler")
    if number := int(os.environ.get(NUMBER_VARIABLE, "0")):
        fence(number)
    deployment = read_deployment()

    async def work() -> None:
        async with looks_at_engine(deployment):
            await run_forever(deployment)

    _run(work())


@app.command(hidden=True)
def portal(
    state: StateOption = _STATE,
    port: Annotated[int | None, typer.Option(help="Loopback port; else as the hub says.")] = None,
) -> None:
    """Run the portal beside the hub; the hub starts it."""
    deployment = read_deployment() if CONFIG_VARIABLE in os.environ else find_state(state)
    serve_portal(deployment, keys(deployment), port)


def main() -> None:
    """Run the command; what we can explain is said in words, without a traceback."""
    try:
        app()
    except PetriHubError as exc:
        typer.secho(exc.message, fg=typer.colors.RED, err=True)
        if exc.hint:
            typer.echo(exc.hint, err=True)
        raise SystemExit(1) from exc


if __name__ == "__main__":
    main()
