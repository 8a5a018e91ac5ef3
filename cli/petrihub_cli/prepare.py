"""What must be in place before the hub starts: proxy, local environments, database."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from petrihub_cli.made import lead, made
from petrihub_cli.product import ROOT, npm_ci
from petrihub_core.deployment import Deployment
from petrihub_core.errors import Unavailable

Say = Callable[[str], None]

_STUDIO = ("images/base/studio.txt", "images/bio/analysis.txt")
_CELLXGENE = ("images/bio/cellxgene.txt",)
_SHINY = "images/bio/rootfs/usr/local/bin/petrihub-shiny"
_MEND_CELLXGENE = "images/bio/mend-cellxgene"


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _run(command: list[str | Path], log: Path, what: str) -> None:
    """Run to the end with output in `log`; raises `Unavailable` with the last lines of it."""
    with log.open("ab") as out:
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "VIRTUAL_ENV": ""},
            check=False,
        ).returncode
    if code != 0:
        raise _failed(what, log)


def _failed(what: str, log: Path) -> Unavailable:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    return Unavailable(f"{what} did not succeed:\n{tail}", hint=f"The whole log: {log}")


def proxy(deployment: Deployment, say: Say) -> None:
    """The routing proxy in the state folder, exactly as its lock file says."""
    source = ROOT / "deploy" / "proxy"
    log = deployment.logs / "proxy-install.log"

    def install(folder: Path) -> None:
        say("Installing the routing proxy")
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
        log.parent.mkdir(parents=True, exist_ok=True)
        if npm_ci(folder, log) != 0:
            raise _failed("Installing the routing proxy", log)

    content = _fingerprint(source.glob("*.json"))
    lead(deployment.state / "proxy", made(_store(deployment), "proxy", content, install))


def _store(deployment: Deployment) -> Path:
    return deployment.state / "made"


def _uv() -> str:
    found = shutil.which(
        "uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        raise Unavailable("The tool `uv` is not installed.", hint="Run scripts/up, which adds it.")
    return found


def _environment(folder: Path, *requirements: str | Path, log: Path) -> None:
    """A fresh Python environment in `folder`: files with requirements, and wheels."""
    what = f"Making the Python environment {folder.stem!r}"
    # relocatable: it is made beside its place and moved there when it is whole
    # the requirement files are locked for 3.11; uv finds or brings one where ours is newer
    python = sys.executable if sys.version_info[:2] == (3, 11) else "3.11"
    _run([_uv(), "venv", "--relocatable", "--python", python, folder], log, what)
    install: list[str | Path] = [_uv(), "pip", "install", "--python", folder / "bin" / "python"]
    for each in requirements:
        install += [each] if isinstance(each, Path) else ["--requirement", ROOT / each]
    _run(install, log, what)


def _files(folder: Path) -> list[Path]:
    """The files of a folder without what builds leave in it."""
    skipped = {"node_modules", "lib", "labextension", "__pycache__", "dist"}
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not skipped.intersection(path.relative_to(ROOT).parts)
        and path.suffix != ".tsbuildinfo"
    ]


def _extension_wheel(folder: Path, log: Path) -> Path:
    _run(
        [_uv(), "build", "--wheel", "--out-dir", folder, ROOT / "extensions"],
        log,
        "Building the JupyterLab extension",
    )
    return next(folder.glob("*.whl"))


def local_environments(deployment: Deployment, say: Say) -> None:
    """The Python environments that workspaces on this machine use: studio and CELLxGENE."""
    deployment.environments.mkdir(parents=True, exist_ok=True)
    log = deployment.logs / "environments.log"

    def studio(folder: Path) -> None:
        say("Building the JupyterLab extension")
        with tempfile.TemporaryDirectory() as built:
            wheel = _extension_wheel(Path(built), log)
            say("Installing JupyterLab and the analysis packages (several minutes on first use)")
            _environment(folder, *_STUDIO, wheel, log=log)
        _add_r(folder, log)
        shutil.copytree(ROOT / "catalog" / "notebooks", folder / "share/petrihub/welcome")

    def cellxgene(folder: Path) -> None:
        say("Installing CELLxGENE")
        _environment(folder, *_CELLXGENE, log=log)
        _run([ROOT / _MEND_CELLXGENE, folder], log, "Preparing CELLxGENE")

    sources = [ROOT / name for name in (*_STUDIO, _SHINY)]
    sources += [*_files(ROOT / "extensions"), *_files(ROOT / "catalog" / "notebooks")]
    others = [ROOT / name for name in (*_CELLXGENE, _MEND_CELLXGENE)]
    for name, files, make in (("studio", sources, studio), ("cellxgene", others, cellxgene)):
        folder = made(_store(deployment), name, _fingerprint(files), make)
        lead(deployment.environments / name, folder)


def _add_r(studio: Path, log: Path) -> None:
    """Make this machine's R a kernel and its Shiny an app, where R has the packages for it.

    What it lacks stays away, so that the launcher greys it instead of showing a broken tile.
    """
    rscript = shutil.which("Rscript")
    if rscript is None:
        return
    environment = {**os.environ, "PATH": f"{studio / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def holds(expression: str) -> bool:
        with log.open("ab") as out:
            return not subprocess.run(
                [rscript, "--vanilla", "-e", expression],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode

    holds(f"IRkernel::installspec(user = FALSE, prefix = {str(studio)!r})")
    if holds("library(shiny)"):
        shutil.copy2(ROOT / _SHINY, studio / "bin")
