"""`petrihub`: the list of commands.

What a command runs is imported when it is called, here and in the modules of the subcommands:
`petrihub --help` must not wait for the database, the hub and the web framework.
"""

import asyncio
import errno
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from petrihub_cli.audit_commands import audit_app
from petrihub_cli.checkpoint_commands import checkpoints_app
from petrihub_cli.images.commands import images_app
from petrihub_cli.settings_commands import settings_app
from petrihub_core.errors import PetriHubError

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
app.add_typer(checkpoints_app, name="checkpoints", no_args_is_help=True)
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
    from rich.console import Console

    from petrihub_cli.up import Wishes
    from petrihub_cli.up import up as run_platform

    wishes = Wishes(
        state=state, backend=backend, port=port, browser=not no_browser, ca_bundle=ca_bundle
    )
    _run(run_platform(wishes, Console(highlight=False, soft_wrap=True)))


@admin_app.command("link")
def admin_link(state: StateOption = _STATE) -> None:
    """Print a new one-time link for the first admin (24 hours), while there is no admin."""
    from petrihub_authenticators.bootstrap import first_admin_link
    from petrihub_cli.state import find_state

    async def link() -> None:
        typer.echo(f"First admin: {await first_admin_link(find_state(state))}")

    _run(link())


@admin_app.command("reset")
def admin_reset(
    name: Annotated[str, typer.Argument(help="Name of the person.")],
    state: StateOption = _STATE,
) -> None:
    """Print a one-time link with which NAME chooses a new password (24 hours)."""
    from petrihub_authenticators.bootstrap import reset_link
    from petrihub_cli.state import find_state

    async def link() -> None:
        typer.echo(f"New password for {name}: {await reset_link(find_state(state), name)}")

    _run(link())


@config_app.command("check")
def config_check(
    state: StateOption = _STATE,
    config: Annotated[Path | None, typer.Option(help="A file elsewhere.")] = None,
) -> None:
    """Say whether petrihub.toml is usable, else which line is not and what is allowed."""
    from petrihub_core.deployment import read_deployment

    path = config or state / "petrihub.toml"
    deployment = read_deployment(path)
    typer.echo(f"{path} is usable: backend {deployment.backend}, {deployment.public_url}")


@config_app.command("manual", hidden=True)
def config_manual() -> None:
    """Print the manual page of petrihub.toml."""
    from petrihub_cli.manual import configuration_manual

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
    subdomains: Annotated[
        bool, typer.Option(help="An origin for each person below the domain, or one for all.")
    ] = True,
) -> None:
    """Write what a server needs: compose file, settings, fresh secrets. Keeps what is there."""
    from petrihub_cli.init import init_server

    typer.echo(init_server(folder, domain=domain, socket=socket, subdomains=subdomains))


@app.command()
def backup(state: StateOption = _STATE) -> None:
    """Copy both databases and the keys, read the copies back, print where they are."""
    from petrihub_cli.backup import back_up
    from petrihub_cli.backup_seal import public_key
    from petrihub_cli.state import find_state

    deployment = find_state(state)
    made = back_up(deployment, "by-hand")
    typer.echo(f"Key that recognises it, to be kept elsewhere: {public_key(deployment.secrets)}")
    typer.echo(f"Backup: {made}")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `petrihub backup` has made.")],
    key: Annotated[
        str, typer.Option(help="What `petrihub backup` printed as its key, or a file with it.")
    ] = "",
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Take it from whoever could write to it.")
    ] = False,
    keep_sessions: Annotated[
        bool,
        typer.Option(
            "--keep-sessions", help="Nothing was ended since: keep sessions, tokens, links, shares."
        ),
    ] = False,
    state: StateOption = _STATE,
) -> None:
    """Put a backup into a fresh state folder."""
    from petrihub_cli.restore import Wish
    from petrihub_cli.restore import restore as restore_backup

    wish = Wish(key=key, unsigned=unsigned, keep_sessions=keep_sessions)
    done = restore_backup(folder, state, wish)
    typer.echo(f"{done.deployment.state} holds what there was at {done.made_at}.")
    typer.echo(f"With a role: {', '.join(done.privileged) or 'nobody'}")
    typer.echo("Who lost a role or was deactivated since then has it again: look before you start.")


@app.command()
def fileserver(
    portal: Annotated[str, typer.Option(help="PetriHub's address, as a browser uses it.")],
    data: Annotated[Path, typer.Option(help="Folder that holds everybody's files.")],
    token_file: Annotated[
        Path | None,
        typer.Option(help="What proves it to PetriHub; else .server/token in the data folder."),
    ] = None,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 2022,
) -> None:
    """Serve files to workspaces by SFTP, each person confined to their own; runs as root."""
    from petrihub_cli.fileserver.serve import FileServer, Wishes
    from petrihub_core.logs import configure_logs

    configure_logs("fileserver")
    wishes = Wishes(portal=portal, token_file=token_file, data=data, address=address, port=port)
    raise typer.Exit(FileServer(wishes).run())


@app.command(hidden=True)
def hub(state: StateOption = _STATE) -> None:
    """Run the hub alone; a container's command."""
    from petrihub_cli.parts import run_hub

    run_hub(state)


@app.command(hidden=True)
def proxy(state: StateOption = _STATE) -> None:
    """Run the routing proxy alone; a container's command."""
    from petrihub_cli.parts import run_proxy

    run_proxy(state)


@app.command(hidden=True)
def replica(
    number: Annotated[int, typer.Argument(help="Which one, counted from 1.")],
    state: StateOption = _STATE,
) -> None:
    """Run one replica of the portal alone; a container's command."""
    from petrihub_cli.parts import run_portal
    from petrihub_core.logs import configure_logs

    configure_logs("portal")
    run_portal(state, number)


@app.command("image-server", hidden=True)
def image_server(state: StateOption = _STATE) -> None:
    """Run the image server alone; a container's command."""
    from petrihub_cli.image_part import run_image_server
    from petrihub_cli.state import find_state
    from petrihub_core.logs import configure_logs

    configure_logs("image-server")
    _run(run_image_server(find_state(state)))


@app.command("image-service", hidden=True)
def image_service() -> None:
    """Run the image service beside the hub; the hub starts it."""
    from petrihub_core.deployment import read_deployment
    from petrihub_images.serve import serve as serve_images

    serve_images(read_deployment())


@app.command(hidden=True)
def reconcile() -> None:
    """Run the reconciler beside the hub; the hub starts it."""
    from petrihub_cli.parts import run_reconciler
    from petrihub_core.logs import configure_logs

    configure_logs("reconciler")
    _run(run_reconciler())


@app.command(hidden=True)
def portal(
    state: StateOption = _STATE,
    port: Annotated[int | None, typer.Option(help="Loopback port; else as the hub says.")] = None,
) -> None:
    """Run the portal beside the hub; the hub starts it."""
    from petrihub_cli.parts import run_portal_beside

    run_portal_beside(state, port)


def main() -> None:
    """Run the command; what we can explain is said in words, without a traceback."""
    try:
        app()
    except PetriHubError as exc:
        typer.secho(exc.message, fg=typer.colors.RED, err=True)
        if exc.hint:
            typer.echo(exc.hint, err=True)
        raise SystemExit(1) from exc
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        where = f" ({exc.filename})" if exc.filename else ""
        typer.secho(f"The disk is full{where}.", fg=typer.colors.RED, err=True)
        typer.echo("Free some space, then run it again; nothing needs repair.", err=True)
        raise SystemExit(1) from exc


if __name__ == "__main__":
    main()
