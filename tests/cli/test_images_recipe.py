"""What images are made of: the hash of the context, the composed folder, the catalog."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from petrihub_cli.images.recipe import TOOL, WORKSPACE, Source, compose, find_source, read_recipes
from petrihub_core.apps import parse_apps
from petrihub_core.errors import Refused

SOURCE = find_source()


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A copy of the sources that a test may change."""
    for part in ("images", "catalog"):
        shutil.copytree(SOURCE.root / part, tmp_path / part)
    extension = tmp_path / "extensions" / "petrihub_extensions"
    extension.mkdir(parents=True)
    (extension / "__init__.py").write_text("")
    return Source(tmp_path)


def _contexts(source: Source) -> dict[str, str]:
    return {recipe.name: recipe.context for recipe in read_recipes(source)}


def test_parents_come_first_and_are_built_for_their_children() -> None:
    assert [recipe.name for recipe in read_recipes(SOURCE, ["bio"])] == ["base", "bio"]
    assert [recipe.tag for recipe in read_recipes(SOURCE, ["petrihub/base"])] == ["petrihub/base"]


def test_an_unknown_image_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Refused, match="nano") as refused:
        read_recipes(SOURCE, ["nano"])
    assert "base, bio" in refused.value.hint


def test_an_image_that_names_an_unknown_app_is_refused(source: Source) -> None:
    (source.catalog / "apps" / "40-igv.json").unlink()

    with pytest.raises(Refused, match="igv"):
        read_recipes(source)


TOOLS = {"cellxgene", "shiny"}  # they stand on all of bio
STUDIOS = {"base", "bio"} | TOOLS


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("images/base/studio.txt", STUDIOS),
        ("images/base/rootfs/usr/local/bin/petrihub-workspace", STUDIOS),
        ("images/shared/install-packages", STUDIOS | {"sidecars"}),
        ("extensions/petrihub_extensions/__init__.py", STUDIOS),
        ("images/bio/analysis.txt", {"bio"} | TOOLS),
        ("catalog/apps/40-igv.json", {"bio"} | TOOLS),
        ("catalog/notebooks/Start here.md", {"bio"} | TOOLS),
        ("images/shiny/Dockerfile", {"shiny"}),
        ("images/sidecars/petrihub_sidecars/gate/door.py", {"sidecars"}),
        ("catalog/make_examples.py", set()),
        ("extensions/petrihub_extensions/labextension/built.js", set()),
        ("extensions/node_modules/left/pad.js", set()),
    ],
)
def test_a_change_makes_exactly_the_images_stale_that_hold_it(
    source: Source, changed: str, stale: set[str]
) -> None:
    before = _contexts(source)
    path = source.root / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"summary": "another"}))
    else:
        path.open("a").write("\n")
    after = _contexts(source)

    assert {name for name in before if before[name] != after[name]} == stale


def test_making_a_file_executable_is_a_change(source: Source) -> None:
    before = _contexts(source)
    (source.images / "bio" / "warm").chmod(0o644)

    assert _contexts(source)["bio"] != before["bio"]


def test_a_label_says_what_the_hub_reads_back() -> None:
    (bio,) = [recipe for recipe in read_recipes(SOURCE) if recipe.name == "bio"]

    assert parse_apps(bio.apps_label()) == bio.apps
    assert [app.id for app in bio.apps][:3] == ["vscode", "shiny", "desktop"]


def test_the_context_holds_what_the_dockerfile_takes(tmp_path: Path) -> None:
    wheel = tmp_path / "petrihub_extensions-0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    for recipe in read_recipes(SOURCE):
        context = tmp_path / recipe.name
        context.mkdir()
        compose(recipe, wheel, context)
        dockerfile = (context / "Dockerfile").read_text()
        taken = {
            word.partition("=")[2]
            for line in dockerfile.splitlines()
            for word in line.replace(",", " ").split()
            if word.startswith("source=") and "from=" not in line
        }
        assert not [path for path in taken if not (context / path).exists()]
        if recipe.settings.kind == WORKSPACE:
            assert taken >= {"shared", "wheels"}
            assert (context / "welcome" / "Start here.md").is_file()


def test_a_tool_says_in_its_labels_how_it_is_reached_and_stands_on_its_parent() -> None:
    tools = [each for each in read_recipes(SOURCE) if each.settings.kind == TOOL]
    assert {each.name for each in tools} == TOOLS
    for recipe in tools:
        dockerfile = (recipe.folder / "Dockerfile").read_text()
        assert "org.petrihub.tool.port=" in dockerfile
        assert f"ARG FOUNDATION=petrihub/{recipe.settings.parent}\n" in dockerfile


def test_no_file_of_ours_names_a_registry_or_this_machine() -> None:
    listed = subprocess.run(
        ["grep", "-rlE", r"pypi\.org|pythonhosted|registry\.npmjs|docker\.io/|--index-url", "."],
        cwd=SOURCE.images,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.stdout == ""


def test_every_requirement_is_pinned_with_its_hash() -> None:
    for path in SOURCE.images.glob("*/*.txt"):
        lines = path.read_text().splitlines()
        named = [line for line in lines if not line.startswith("    ")]
        assert named, path
        assert all("==" in line and line.endswith("\\") for line in named), path
        assert sum("--hash=sha256:" in line for line in lines) >= len(named), path


def test_the_two_lists_of_the_studio_agree() -> None:
    def pins(path: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in path.read_text().splitlines():
            if "==" in line and not line.startswith(" "):
                name, _, rest = line.partition("==")
                found.setdefault(name, set()).add(rest.split()[0])
        return found

    studio = pins(SOURCE.images / "base" / "studio.txt")
    analysis = pins(SOURCE.images / "bio" / "analysis.txt")
    shared = studio.keys() & analysis.keys()
    assert {"numpy", "scanpy"} <= analysis.keys()
    assert {name: studio[name] for name in shared} == {name: analysis[name] for name in shared}
