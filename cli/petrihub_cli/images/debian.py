"""The Debian that our images stand on: from a registry if one answers, else made here."""

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from petrihub_cli.engine import Progress, install_packages
from petrihub_cli.images.docker_cli import DockerCli
from petrihub_cli.images.logged import last_words, run_logged
from petrihub_core.errors import Unavailable

DEBIAN_TAG = "petrihub/debian:bookworm"
UPSTREAM = "debian:bookworm-slim"
PULL_SECONDS = 60.0
BOOTSTRAP_PACKAGES = ("mmdebstrap", "debian-archive-keyring")

# what Debian's own slim image leaves out as well; licences stay
_LEFT_OUT = ("man", "info", "locale", "lintian", "doc")


async def ensure_debian(
    cli: DockerCli, *, fresh: bool, log: Path, progress: Progress, install: bool = False
) -> None:
    """Make sure that the engine has Debian 12 under our name; `fresh` gets today's packages."""
    if not fresh and await cli.inspect(DEBIAN_TAG):
        return
    progress("Asking the registry for Debian 12")
    try:
        await cli.run("pull", "--quiet", UPSTREAM, seconds=PULL_SECONDS)
    except Unavailable as error:
        with log.open("a") as said:
            said.write(f"docker pull {UPSTREAM}: {error.message}\n")
        progress("No registry answers: making Debian 12 from its packages")
        await _bootstrap(cli, log, progress, install=install)
        return
    await cli.run("tag", UPSTREAM, DEBIAN_TAG)


async def _bootstrap(cli: DockerCli, log: Path, progress: Progress, *, install: bool) -> None:
    if not shutil.which("mmdebstrap"):
        if not (install and os.geteuid() == 0 and shutil.which("apt-get")):
            raise Unavailable(
                "No image registry can be reached, and mmdebstrap is not installed.",
                hint=f"Run: sudo apt-get install {' '.join(BOOTSTRAP_PACKAGES)}",
            )
        await install_packages("mmdebstrap", BOOTSTRAP_PACKAGES, progress)
    with tempfile.TemporaryDirectory(prefix="petrihub-debian-") as folder:
        archive = Path(folder) / "debian.tar"
        if await run_logged(bootstrap_command(archive), log):
            raise Unavailable(
                f"Debian 12 could not be made from its packages:\n{last_words(log)}",
                hint=f"Is Debian's package server reachable from here? The whole log: {log}",
            )
        made = f"LABEL org.opencontainers.image.created={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        await cli.run(
            *("import", "--change", 'CMD ["bash"]', "--change", made, str(archive), DEBIAN_TAG)
        )


def bootstrap_command(archive: Path) -> list[str]:
    """The command that writes a minimal Debian 12 into `archive`."""
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in _LEFT_OUT]
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        *left_out,
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        # this machine's name and name servers are nobody's business
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        "bookworm",
        str(archive),
    ]
