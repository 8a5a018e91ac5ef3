"""What a person reads while docker builds, and when it fails."""

import sys
from pathlib import Path

import pytest

from petrihub_cli.engine import Engine
from petrihub_cli.images.buildkit import BuildOrder, Step, StepReader, build
from petrihub_cli.images.docker_cli import DockerCli
from petrihub_core.errors import Unavailable

SPOKEN = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#5 [tools 1/2] FROM docker.io/petrihub/debian:bookworm
#5 CACHED
#7 [studio 2/7] RUN --mount=type=cache,target=/x : "The desktop and R" && /mnt/shared/install igv
#7 sha256:aa11
#7 0.412 Reading package lists...
#7 DONE 62.4s
#8 [studio 3/7] COPY welcome/ /usr/local/share/petrihub/welcome/
#8 CACHED
#9 [workspace 1/1] RUN : "petrihub-extensions" && false
#9 0.301 it did not go well
#9 ERROR: executor failed running [/bin/sh -c false]: exit code: 1
#10 exporting to image
#10 DONE 0.1s
"""


def test_steps_carry_the_names_that_the_dockerfile_gives_them() -> None:
    reader = StepReader()
    steps = [step for line in SPOKEN.splitlines() if (step := reader.read(line))]

    assert steps == [
        Step(7, "The desktop and R", "running"),
        Step(7, "The desktop and R", "done", 62.4),
        Step(8, "Copying files", "running"),
        Step(8, "Copying files", "cached"),
        Step(9, "petrihub-extensions", "running"),
        Step(9, "petrihub-extensions", "failed"),
        Step(10, "Writing the image", "running"),
        Step(10, "Writing the image", "done", 0.1),
    ]
    assert reader.failed == "petrihub-extensions"
    assert reader.last_words[-1] == "it did not go well"


def test_certificates_travel_as_a_secret_and_never_as_an_argument(tmp_path: Path) -> None:
    bundle = tmp_path / "institute.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n")
    order = BuildOrder(tmp_path, "workspace", "t", {"a": "b"}, {"DEBIAN": "d"}, ca_bundle=bundle)

    command = order.command()
    assert command[command.index("--secret") + 1] == f"id=ca,src={bundle}"
    assert "BEGIN CERTIFICATE" not in " ".join(command)
    assert not [word for word in command if word.startswith("--build-arg=") or "PEM" in word]


@pytest.mark.parametrize(
    ("said", "next_step"),
    [
        ("SSL: certificate verify failed", "--ca-bundle"),
        ("write: no space left on device", "room on the disk"),
        ("Temporary failure resolving 'deb.debian.org'", "network"),
        ("something else", "Build again"),
    ],
)
async def test_a_failed_build_names_step_last_words_log_and_next_step(
    tmp_path: Path, said: str, next_step: str
) -> None:
    program = tmp_path / "docker"
    spoken = (
        '#7 [studio 2/7] RUN : "scanpy" && x\n'
        f"#7 0.4 {said}\n#7 ERROR: executor failed running\n{said}\n"
    )
    program.write_text(f"#!{sys.executable}\nprint({spoken!r})\nraise SystemExit(1)\n")
    program.chmod(0o755)
    cli = DockerCli(str(program), Engine(str(tmp_path / "no.sock"), False, None))
    order = BuildOrder(tmp_path, "workspace", "petrihub/bio", {}, {})
    seen: list[Step] = []

    with pytest.raises(Unavailable) as failed:
        await build(cli, order, log=tmp_path / "log", listener=seen.append)

    assert 'petrihub/bio could not be built at the step "scanpy"' in failed.value.message
    assert said in failed.value.message
    assert next_step in failed.value.hint
    assert str(tmp_path / "log") in failed.value.hint
    assert said in (tmp_path / "log").read_text()
    assert [step.state for step in seen] == ["running", "failed"]
