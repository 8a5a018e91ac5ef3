"""What IGV is started with, with a genome server that answers and without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from petrihub_core.ports import free_port
from petrihub_extensions.desktop.igv_start import with_genome

NOBODY = "http://127.0.0.1:{}/genomes.tsv"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A home with IGV's folder in it, and the example below `welcome`."""
    for folder in ("igv", "welcome"):
        (tmp_path / folder).mkdir()
    (tmp_path / "welcome" / "pPCP1.json").write_text("{}")
    return tmp_path


@pytest.fixture
def server(here: Path) -> Iterator[str]:
    (here / "genomes.tsv").write_text("<Server-Side Genome List>\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(here))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/genomes.tsv"
        serving.shutdown()


def started(here: Path, server: str, *arguments: str, chosen: str | None = None) -> list[str]:
    lines = [f"IGV.genome.sequence.dir={server}", "##RNA"]
    lines += [f"DEFAULT_GENOME_KEY={chosen}"] if chosen else []
    (here / "igv" / "prefs.properties").write_text("\n".join(lines))
    example = here / "welcome" / "pPCP1.json"
    return list(with_genome(arguments, home=here, cache=here / "cache", example=example))


def test_with_a_genome_server_igv_starts_as_it_is(here: Path, server: str) -> None:
    assert started(here, server, "--port", "1", "a b.bam") == ["--port", "1", "a b.bam"]
    assert not (here / "cache").exists()


def test_without_one_it_gets_the_list_of_what_is_here_and_the_example(here: Path) -> None:
    offline, example = here / "cache" / "offline.properties", here / "welcome" / "pPCP1.json"
    nobody = NOBODY.format(free_port())
    assert started(here, nobody, "a.bam") == [
        *("--preferences", str(offline), "--genome", str(example), "a.bam")
    ]
    genomes = here / "cache" / "genomes.tsv"
    assert offline.read_text() == f"IGV.genome.sequence.dir=file:{genomes}\n"
    assert genomes.read_text().splitlines()[1].split("\t")[1:] == [str(example), "pPCP1"]


def test_a_genome_that_the_person_chose_stays(here: Path, server: str) -> None:
    nobody = NOBODY.format(free_port())
    assert "--genome" not in started(here, nobody, chosen="hg38")
    assert started(here, nobody, "-g", "mm10") == ["-g", "mm10"]
    # the example was chosen, under a name that no server knows
    example = here / "welcome" / "pPCP1.json"
    assert started(here, server, chosen="pPCP1") == ["--genome", str(example)]


def test_without_the_example_the_list_is_empty(here: Path) -> None:
    (here / "welcome" / "pPCP1.json").unlink()
    nobody = NOBODY.format(free_port())
    assert started(here, nobody) == ["--preferences", str(here / "cache" / "offline.properties")]
    assert (here / "cache" / "genomes.tsv").read_text() == "<Server-Side Genome List>\n"
