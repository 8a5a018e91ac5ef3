"""petrihub.toml: what is wrong is named with file, line, key and what is allowed."""

from pathlib import Path

import pytest

from petrihub_core.deployment import Deployment, read_deployment
from petrihub_core.errors import ConfigError

GOOD = """\
name = "Curie lab"
backend = "docker"
state = "data"

[address]
port = 9000

[[sizes]]
id = "tiny"
title = "Tiny"
cpu = 0.5
memory_gib = 1

[[profiles]]
id = "p"
title = "P"
sizes = ["tiny"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "petrihub.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read_deployment(write(folder, text))
    return f"{refused.value.message}\n{refused.value.hint}"


def test_a_good_file_is_read_and_its_state_stands_beside_it(tmp_path: Path) -> None:
    deployment = read_deployment(write(tmp_path, GOOD))
    assert deployment.backend == "docker"
    assert deployment.state == tmp_path / "data"
    assert deployment.public_url == "http://127.0.0.1:9000"
    size = deployment.size("tiny")
    assert size is not None
    assert size.cpu == 0.5


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    deployment = read_deployment(write(tmp_path, ""))
    assert deployment.backend == "local"
    assert [profile.id for profile in deployment.profiles] == [
        *("bio-studio", "notebooks", "cellxgene", "shiny-explorer")
    ]


def test_the_id_of_a_deployment_stays(tmp_path: Path) -> None:
    first = read_deployment(write(tmp_path, GOOD)).id
    assert read_deployment(tmp_path / "petrihub.toml").id == first
    assert len(first) == 10


@pytest.mark.parametrize(
    ("broken", "line", "key", "allowed"),
    [
        ('backend = "dockr"', 1, "backend", "'local' or 'docker'"),
        ("\n\nbakend = 1", 3, "bakend", "backend"),
        ("[address]\n\nprt = 1", 3, "address.prt", "host, names, port"),
        ('[address]\nport = "x"', 2, "address.port", "valid integer"),
        ("[address]\nport = 70000", 2, "address.port", "65535"),
        (GOOD + "\ncolour = 1", 19, "profiles.0.colour", "description, groups, id, image"),
        (GOOD + '[[profiles]]\nid = "Q!"\ntitle="Q"\nsizes=[]', 19, "profiles.1.id", "pattern"),
        ("[docker]\nnetwork_pool = 3.5", 2, "docker.network_pool", "network"),
    ],
)
def test_a_wrong_line_is_named(
    tmp_path: Path, broken: str, line: int, key: str, allowed: str
) -> None:
    said = refusal(tmp_path, broken)
    assert f"petrihub.toml:{line}: {key}" in said
    assert allowed in said


def test_a_profile_with_an_unknown_size_is_refused(tmp_path: Path) -> None:
    assert "offers size 'huge'" in refusal(tmp_path, GOOD.replace('["tiny"]', '["huge"]'))


def test_two_profiles_with_one_id_are_refused(tmp_path: Path) -> None:
    twice = GOOD + '\n[[profiles]]\nid = "p"\ntitle = "Q"\nsizes = ["tiny"]\n'
    assert "same id" in refusal(tmp_path, twice)


def test_what_is_not_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in refusal(tmp_path, "a = 1\nb = \nc = 2")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        read_deployment(tmp_path / "nowhere.toml")


def test_without_any_name_the_next_step_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PETRIHUB_CONFIG", raising=False)
    with pytest.raises(ConfigError) as refused:
        read_deployment()
    assert "--config" in refused.value.hint


def test_the_database_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@ss/word\n")
    text = '[database]\nurl = "postgresql+asyncpg://me@127.0.0.1/x"\npassword_file = "secret"\n'
    assert "p%40ss%2Fword@" in read_deployment(write(tmp_path, text)).database_url


def test_every_setting_is_described() -> None:
    def undescribed(model: type, where: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            if not field.description:
                missing.append(f"{where}{name}")
            inner = getattr(field.annotation, "__args__", (field.annotation,))[0]
            if hasattr(inner, "model_fields"):
                missing += undescribed(inner, f"{where}{name}.")
        return missing

    assert undescribed(Deployment, "") == []
