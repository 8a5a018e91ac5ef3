"""Starts IGV so that it has a genome: `python -m petrihub_extensions.desktop.igv_start IGV [...]`.

IGV asks its genome server at every start. Without an answer it waits in front of one dialog after
the other, opens no file meanwhile, and cannot draw one either. Where there is no way to the server
it is given a list of the genomes that are here, and the example's if the person has chosen none.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from petrihub_extensions.welcome import source

# what IGV 2.16 asks unless its preferences name another one
SERVER = "https://igv.org/genomes/genomes.tsv"
EXAMPLE, EXAMPLE_NAME = "pPCP1", "Yersinia pestis pPCP1 (example)"
_ANSWER_SECONDS = 3.0
_CHOSEN = frozenset({"-g", "--genome", "-o", "--preferences", "-b", "--batch"})


def answers(server: str) -> bool:
    """Whether the genome server answers within three seconds, the name's lookup included."""
    found = threading.Event()

    def ask() -> None:
        # a stranger's address from the preferences: whatever is wrong with it, it does not answer
        with contextlib.suppress(OSError, ValueError):
            asked = urllib.request.Request(server, method="HEAD")  # noqa: S310 - or a file: list
            with urllib.request.urlopen(asked, timeout=_ANSWER_SECONDS):  # noqa: S310
                found.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_SECONDS)
    return found.is_set()


def with_genome(
    arguments: Sequence[str], *, home: Path, cache: Path, example: Path
) -> tuple[str, ...]:
    """IGV's arguments, and before them those that it needs here to have a genome.

    OSError when the list for IGV cannot be written below `cache`.
    """
    if _CHOSEN & set(arguments):
        return tuple(arguments)
    preferences = _preferences(home / "igv" / "prefs.properties")
    chosen = preferences.get("DEFAULT_GENOME_KEY")
    first: list[str] = []
    lost = not answers(preferences.get("IGV.genome.sequence.dir") or SERVER)
    if lost:
        first += ["--preferences", str(_offline(cache, example))]
    # IGV remembers the example by a name that its server does not know
    if example.exists() and (chosen == EXAMPLE or (lost and chosen is None)):
        first += ["--genome", str(example)]
    return (*first, *arguments)


def _preferences(file: Path) -> Mapping[str, str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _offline(cache: Path, example: Path) -> Path:
    """Preferences by which IGV reads its list of genomes from a file."""
    cache.mkdir(parents=True, exist_ok=True)
    rows = [f"{EXAMPLE_NAME}\t{example}\t{EXAMPLE}"] if example.exists() else []
    genomes = cache / "genomes.tsv"
    genomes.write_text("\n".join(["<Server-Side Genome List>", *rows, ""]), encoding="utf-8")
    preferences = cache / "offline.properties"
    preferences.write_text(f"IGV.genome.sequence.dir=file:{genomes}\n", encoding="utf-8")
    return preferences


def main() -> None:
    """Becomes IGV."""
    program, *arguments = sys.argv[1:]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "petrihub" / "igv"
    # a full disk keeps nobody from IGV, nor does a user id without a name
    with contextlib.suppress(OSError, KeyError):
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # Java does not look at $HOME
        example = source() / "Examples" / f"{EXAMPLE}.json"
        arguments = list(with_genome(arguments, home=home, cache=cache, example=example))
    os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
