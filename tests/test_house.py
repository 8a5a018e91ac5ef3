"""The rules of the house that a linter cannot hold."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, whether committed or about to be; none that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


SOURCES = tracked("*.py", "*.ts", "*.tsx", "*.js")
PYTHON = [path for path in SOURCES if path.suffix == ".py"]
PACKAGES = ("core", "spawner", "authenticators", "cli", "extensions")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("module", SOURCES, ids=named)
def test_a_module_fits_in_the_head(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 400


# a migration is a list of what was done to the tables, not logic that somebody must follow
LOGIC = [path for path in PYTHON if "migrations/versions" not in named(path)]


@pytest.mark.parametrize("module", LOGIC, ids=named)
def test_a_function_fits_on_a_page(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("module", PYTHON, ids=named)
def test_a_module_is_named_for_what_it_keeps(module: Path) -> None:
    assert module.stem not in {"utils", "util", "helpers", "common", "manager", "misc", "base_"}


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_component_root_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()
    assert (ROOT / folder / f"petrihub_{folder}" / "py.typed").exists()


def test_no_file_names_a_machine_or_carries_an_address_of_a_cdn() -> None:
    # this machine's home and work folders, and places from which pages must not load anything
    banned = ("/" + "work/", "/" + "root/", "cdn.jsdelivr", "unpkg.com", "fonts.googleapis")
    texts = tracked("*.py", "*.html", "*.css", "*.js", "*.ts", "*.toml", "*.md", "*.json", "*.txt")
    found = [
        f"{named(path)}: {word}"
        for path in texts
        if path.name not in {"uv.lock", "package-lock.json"} and path != Path(__file__)
        for word in banned
        if word in path.read_text(errors="replace")
    ]
    assert found == []


def test_only_the_deployment_and_the_edges_read_the_environment() -> None:
    # settings come from petrihub.toml; these read what JupyterHub, the person or the system give
    allowed = {
        "core/petrihub_core/deployment.py",
        "jupyterhub_config.py",
    }
    readers = {
        named(path)
        for path in PYTHON
        if path.is_relative_to(ROOT / "core") or path.is_relative_to(ROOT / "authenticators")
        if "os.environ" in path.read_text() or "os.getenv" in path.read_text()
    }
    assert readers <= allowed
