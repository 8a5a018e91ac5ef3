"""Every setting, trait and command is in the docs; a new one without its entry fails here."""

import re
from pathlib import Path

import typer

from petrihub_authenticators.door import PetriHubAuthenticator
from petrihub_cli.main import app
from petrihub_cli.manual import configuration_manual
from petrihub_spawner.backends.docker import DockerWorkspaceSpawner
from petrihub_spawner.backends.local import LocalWorkspaceSpawner
from petrihub_spawner.backends.workspace import WorkspaceSteps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_the_page_of_the_configuration_file_is_the_one_that_the_code_writes() -> None:
    assert (DOCS / "reference/configuration.md").read_text() == configuration_manual()


def test_every_command_and_flag_is_in_the_manual() -> None:
    manual = (DOCS / "reference/commands.md").read_text()
    missing = []

    def walk(command: object, words: tuple[str, ...]) -> None:
        if getattr(command, "hidden", False):
            return
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))
        if not getattr(command, "commands", {}):
            line = " ".join(words)
            if f"`{line}" not in manual:
                missing.append(line)
            missing.extend(
                f"{line} {option}"
                for parameter in command.params  # type: ignore[attr-defined]
                for option in parameter.opts
                if option.startswith("--") and option != "--help" and option not in manual
            )

    walk(typer.main.get_command(app), ("petrihub",))
    assert missing == []


def test_every_trait_of_ours_is_in_the_manual() -> None:
    manual = (DOCS / "reference/traits.md").read_text()
    ours = (WorkspaceSteps, LocalWorkspaceSpawner, DockerWorkspaceSpawner, PetriHubAuthenticator)
    for cls in ours:
        for name, trait in cls.class_own_traits(config=True).items():
            assert f".{name}`" in manual
            assert len(trait.help.strip()) > 20


def test_what_is_said_to_show_a_promise_is_there() -> None:
    pages = [ROOT / "README.md", *DOCS.rglob("*.md")]
    named = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"`((?:tests|benchmarks)/[\w./-]+)`", page.read_text())
    }
    assert len(named) > 100
    assert [each for each in sorted(named) if not (ROOT / each[1]).exists()] == []


def test_links_and_pictures_of_the_docs_lead_somewhere() -> None:
    broken = []
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append((page.name, target))
    assert broken == []
