"""The images themselves: built for real, looked into layer by layer, run as workspaces are run."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from petrihub_cli.engine import ensure_engine
from petrihub_cli.images.build import CONTEXT_LABEL, BuiltImage, build_images
from petrihub_cli.images.buildkit import BuildOrder, Step, build
from petrihub_cli.images.debian import DEBIAN_TAG
from petrihub_cli.images.docker_cli import DockerCli, find_docker_cli
from petrihub_cli.images.recipe import find_source, read_recipes
from petrihub_cli.images.registration import registered_digests
from petrihub_core.apps import APPS_LABEL, parse_apps
from petrihub_core.database import migrate
from petrihub_core.deployment import parse_deployment

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(5400),  # the first build on a machine takes its time
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("dockerd") is None,
        reason="only root with docker.io installed may start an engine",
    ),
]

# what every workspace container gets from the spawner
HARDENED = (
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--pids-limit", "1024", "--memory", "4g"),
)


def _ca_bundle() -> Path | None:
    """The certificates that this machine's tools are told to trust, if there are any."""
    named = os.environ.get("PETRIHUB_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return Path(named) if named else None


@pytest.fixture(scope="module")
def cli() -> DockerCli:
    """A docker client on the engine where images are kept between runs."""

    async def find() -> DockerCli:
        return await find_docker_cli(await ensure_engine(install=True))

    return asyncio.run(find())


@pytest.fixture(scope="module")
def images(cli: DockerCli) -> dict[str, BuiltImage]:
    """Our images, built by the product's own command where they are not up to date."""
    console = Console(stderr=True)
    built = asyncio.run(
        build_images(None, engine=cli.engine, ca_bundle=_ca_bundle(), console=console)
    )
    return {image.name: image for image in built}


@pytest.fixture
def volume(cli: DockerCli) -> Iterator[str]:
    """A fresh, empty home."""
    name = f"petrihub-test-{uuid.uuid4().hex[:8]}"
    _docker(cli, "volume", "create", name)
    yield name
    _docker(cli, "volume", "rm", "--force", name)


def _docker(cli: DockerCli, *arguments: str) -> str:
    done = subprocess.run(
        [cli.program, *arguments],
        env=cli.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _run(cli: DockerCli, image: str, *command: str, volume: str = "") -> str:
    home = ("--volume", f"{volume}:/home/researcher") if volume else ()
    return _docker(cli, "run", "--rm", *HARDENED, "--network", "none", *home, image, *command)


def _layers(cli: DockerCli, *images: str) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Every entry of every layer of these images, with the layer that holds it."""
    with subprocess.Popen(
        [cli.program, "save", *images], env=cli.environment(), stdout=subprocess.PIPE
    ) as save:
        assert save.stdout is not None
        with tarfile.open(fileobj=save.stdout, mode="r|") as whole:
            for part in whole:
                content = whole.extractfile(part) if part.name.endswith("layer.tar") else None
                if content is None:
                    continue
                with tarfile.open(fileobj=io.BufferedReader(content), mode="r|") as layer:
                    for entry in layer:
                        yield entry, layer


NOTHING_BELOW = (
    *("var/cache/apt/archives/", "var/lib/apt/lists/", "var/log/", "var/tmp/", "tmp/", "mnt/"),
    *("root/.cache", "root/.npm", "root/.local", "root/.config", "home/researcher/.cache"),
    *("run/secrets/", "etc/apt/auth.conf", "etc/hostname", "node/", "tools/"),
)
NOT_CALLED = {
    *("pip.conf", ".npmrc", "npmrc", "uv.toml", ".netrc", ".pypirc", "npm", "gcc", "g++", "make"),
    *("pip", "uv", "npx"),
}
# what people install with, and where to: see images/finish
ON_PURPOSE = {"opt/petrihub/studio/bin/pip", "opt/petrihub/studio/pip.conf"}


async def test_nothing_of_the_build_stays_in_the_layers(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    left: list[str] = []
    writable: list[str] = []
    # together, since they have gigabytes of layers in common
    both = [images[name].digest for name in ("petrihub/base", "petrihub/bio")]
    for entry, _ in _layers(cli, *both):
        path = entry.name.removeprefix("./")
        if path.startswith("var/lib/apt/lists/") and entry.isdir():
            continue  # apt makes the folders again anyway
        programs = path.rpartition("/")[0] in (
            "usr/bin",
            "usr/local/bin",
            "opt/petrihub/studio/bin",
        )
        if entry.isfile() and entry.size and path.startswith(NOTHING_BELOW):
            left.append(path)
        named = Path(path).name in NOT_CALLED and path not in ON_PURPOSE
        if named and (programs or Path(path).suffix or path[0] == "."):
            left.append(path)
        ours = path.startswith("opt/") and not path.startswith("opt/petrihub/numba-cache")
        if ours and not entry.issym() and (entry.uid != 0 or entry.mode & 0o022):
            writable.append(path)
    assert left == []
    assert writable == []


@pytest.mark.parametrize("name", ["petrihub/base", "petrihub/bio"])
async def test_an_image_tells_nothing_of_the_machine_that_built_it(
    cli: DockerCli, images: dict[str, BuiltImage], name: str
) -> None:
    found = await cli.inspect(images[name].digest)
    assert found is not None
    told = json.dumps(found["Config"]) + _docker(
        cli, "history", "--no-trunc", "--format", "{{.CreatedBy}}", images[name].digest
    )
    assert "proxy" not in told.replace("jupyter-server-proxy", "").lower()
    assert "://" not in told
    assert found["Config"]["User"] == "1000:1000"
    sources = _run(
        cli, name, "sh", "-c", "find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat"
    )
    named = {word.split("/")[2] for word in sources.split() if word.startswith("http")}
    assert named <= {"deb.debian.org", "security.debian.org"}


async def test_the_certificates_of_an_institute_are_trusted_in_the_build_and_then_gone(
    cli: DockerCli, tmp_path: Path, images: dict[str, BuiltImage]
) -> None:
    marker = uuid.uuid4().hex
    bundle = tmp_path / "institute.pem"
    bundle.write_text(marker)
    shutil.copytree(find_source().images / "shared", tmp_path / "context" / "shared")
    (tmp_path / "context" / "Dockerfile").write_text(
        f"FROM {DEBIAN_TAG} AS workspace\n"
        "RUN --mount=type=secret,id=ca,target=/run/secrets/ca "
        "--mount=type=bind,source=shared,target=/mnt/shared "
        "/mnt/shared/with-ca sh -c 'wc -c < $PIP_CERT > /seen; "
        'test "$PIP_CERT" = "$NODE_EXTRA_CA_CERTS"\'\n'
    )
    tag = f"petrihub-test/{marker[:8]}"
    order = BuildOrder(tmp_path / "context", "workspace", tag, {}, {}, ca_bundle=bundle)
    await build(cli, order, log=tmp_path / "log", listener=lambda _: None)
    try:
        assert _docker(cli, "run", "--rm", tag, "cat", "/seen").strip() == str(len(marker))
        for entry, layer in _layers(cli, tag):
            content = layer.extractfile(entry) if entry.isfile() and entry.size < 10_000 else None
            assert content is None or marker.encode() not in content.read(), entry.name
    finally:
        _docker(cli, "image", "rm", tag)


async def test_the_label_declares_the_apps_of_the_catalog(images: dict[str, BuiltImage]) -> None:
    for recipe in read_recipes(find_source()):
        labels = images[recipe.tag].labels
        assert parse_apps(labels[APPS_LABEL]) == recipe.apps
        assert labels[CONTEXT_LABEL] == recipe.context


async def test_what_is_up_to_date_is_not_built_again(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    console = Console(record=True, width=200)
    again = await build_images(None, engine=cli.engine, console=console)

    assert [(image.digest, image.fresh) for image in again] == [
        (image.digest, False) for image in images.values()
    ]
    assert "Building" not in console.export_text()


async def test_a_built_image_is_on_the_allow_list_of_its_deployment(
    cli: DockerCli, images: dict[str, BuiltImage], tmp_path: Path
) -> None:
    deployment = parse_deployment('backend = "docker"', tmp_path / "petrihub.toml")
    deployment.state.mkdir(exist_ok=True)
    await migrate(deployment.database_url)
    await build_images(deployment, engine=cli.engine, names=["base"], console=Console(stderr=True))

    assert await registered_digests(deployment) == {"petrihub/base": images["petrihub/base"].digest}


async def test_a_build_that_is_cut_off_leaves_the_old_image_in_use(
    cli: DockerCli, tmp_path: Path
) -> None:
    tag = f"petrihub-test/{uuid.uuid4().hex[:8]}"
    _docker(cli, "tag", DEBIAN_TAG, tag)
    (tmp_path / "Dockerfile").write_text(
        f'FROM {DEBIAN_TAG} AS workspace\nRUN : "Waiting {tag}" && sleep 600\n'
    )
    order = BuildOrder(tmp_path, "workspace", tag, {}, {})
    waiting = asyncio.Event()

    def listen(step: Step) -> None:
        if step.title.startswith("Waiting"):
            waiting.set()

    running = asyncio.create_task(build(cli, order, log=tmp_path / "log", listener=listen))
    await waiting.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    try:
        kept, debian = await cli.inspect(tag), await cli.inspect(DEBIAN_TAG)
        assert kept is not None
        assert debian is not None
        assert kept["Id"] == debian["Id"]
    finally:
        _docker(cli, "image", "rm", tag)


async def test_a_new_home_gets_settings_and_keeps_what_the_person_made_of_them(
    cli: DockerCli, images: dict[str, BuiltImage], volume: str
) -> None:
    first = _run(cli, "petrihub/bio", "sh", "-c", "id -u; ls -A", volume=volume)
    assert first.splitlines()[0] == "1000"
    assert {".bashrc", ".profile", "igv", ".jalview_properties"} <= set(first.splitlines())

    _run(cli, "petrihub/bio", "sh", "-c", "echo mine > .profile", volume=volume)
    assert _run(cli, "petrihub/bio", "cat", ".profile", volume=volume) == "mine\n"


async def test_a_home_that_cannot_be_written_is_said_and_does_not_stop_the_workspace(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    said = _docker(
        cli,
        *("run", "--rm", *HARDENED, "--tmpfs", "/home/researcher:uid=0,mode=0755"),
        *("petrihub/base", "echo", "runs all the same"),
    )
    assert "cannot be written" in said
    assert "runs all the same" in said


async def test_the_notebook_runs_to_its_end_without_a_network_and_cellxgene_opens_the_result(
    cli: DockerCli, images: dict[str, BuiltImage], volume: str
) -> None:
    run = 'cp -R /usr/local/share/petrihub/welcome Welcome && jupyter execute --inplace "$1"'
    notebook = "Welcome/PBMC first look.ipynb"
    _run(cli, "petrihub/bio", "sh", "-c", run, "run", notebook, volume=volume)
    pictures = _run(
        cli,
        "petrihub/bio",
        "python",
        "-c",
        "import nbformat\n"
        "cells = nbformat.read('Welcome/PBMC first look.ipynb', 4).cells\n"
        "outputs = [o for c in cells if c.cell_type == 'code' for o in c.outputs]\n"
        "print(sum('image/png' in o.get('data', {}) for o in outputs))",
        volume=volume,
    )
    assert int(pictures) >= 5
    opened = _run(
        cli,
        "petrihub/bio",
        "sh",
        "-c",
        "cellxgene --no-upgrade-check launch Welcome/pbmc_first_look.h5ad --port 5005 >&2 &\n"
        "curl --retry 120 --retry-connrefused --retry-delay 1 -sf 127.0.0.1:5005/api/v0.2/schema",
        volume=volume,
    )
    assert '"nObs":700' in opened
    assert "cell_type" in opened


async def test_r_has_its_kernel_and_shiny_serves_the_example(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    kernels = _run(cli, "petrihub/bio", "jupyter", "kernelspec", "list", "--json")
    assert {"ir", "python3"} <= json.loads(kernels[kernels.index("{") :])["kernelspecs"].keys()
    (bio,) = [recipe for recipe in read_recipes(find_source()) if recipe.name == "bio"]
    (shiny,) = [app for app in bio.apps if app.id == "shiny"]
    command = [word.replace("{port}", "4242") for word in shiny.command]
    page = _run(
        cli,
        "petrihub/bio",
        "sh",
        "-c",
        '"$@" >&2 & curl --retry 60 --retry-connrefused --retry-delay 1 -sf 127.0.0.1:4242/',
        "shiny",
        *command,
    )
    assert "How fast does an enzyme work?" in page


async def test_every_app_finds_what_it_requires(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    for recipe in read_recipes(find_source()):
        required = {program for app in recipe.apps for program in app.requires}
        for program in sorted(required):
            _run(cli, recipe.tag, "sh", "-c", 'command -v "$1"', "which", program)
