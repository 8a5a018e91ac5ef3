"""What people may do in our images: install for all of a workspace, not touch what starts it."""
# ruff: noqa: F811 - fixtures of the images' tests are imported

import pytest

from petrihub_cli.images.build import BuiltImage
from petrihub_cli.images.docker_cli import DockerCli

from tests.cli.test_images_built import (
    _run,
    cli,  # noqa: F401 - a fixture
    images,  # noqa: F401 - a fixture
    pytestmark,  # noqa: F401 - the same needs
)

# a wheel and an R package without anything to compile, as people write them
INSTALL = r"""
import zipfile
with zipfile.ZipFile("/tmp/mine-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("mine.py", "answer = 42")
    for name, text in {
        "METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any",
        "RECORD": "",
    }.items():
        wheel.writestr(f"mine-1.dist-info/{name}", text)
"""
R_PACKAGE = (
    "mkdir -p /tmp/rmine/R && cd /tmp/rmine && echo 'answer <- function() 42' > R/answer.R"
    " && echo 'export(answer)' > NAMESPACE"
    " && printf 'Package: rmine\\nVersion: 1.0\\nTitle: T\\nDescription: D.\\nLicense: MIT\\n"
    "Author: A\\nMaintainer: A <a@example.org>\\n' > DESCRIPTION && R CMD INSTALL . 2>&1"
)


async def test_people_install_for_the_whole_workspace_without_root(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    said = _run(
        cli,
        "petrihub/bio",
        "sh",
        "-ec",
        'python -c "$1" && pip install --no-index /tmp/mine*.whl && cd / && python -c "import mine'
        '; print(mine.__file__, mine.answer)" && eval "$2" && cd / && Rscript -e "cat(find.package('
        "'rmine'), rmine::answer())\"",
        "install",
        INSTALL,
        R_PACKAGE,
    )
    assert "/usr/local/lib/python3.11/site-packages/mine.py 42" in said
    assert "/usr/local/lib/R/site-library/rmine 42" in said


async def test_what_starts_a_workspace_is_not_replaced(
    cli: DockerCli, images: dict[str, BuiltImage]
) -> None:
    tries = (
        "rm -f /usr/local/bin/petrihub-workspace",
        "mv /usr/local/bin /usr/local/other",
        "mv /usr/local/share/petrihub /usr/local/share/other",
        "mv /opt/petrihub /opt/other",
        "touch /opt/petrihub/studio/bin/python",
        "truncate -s 0 /usr/share/petrihub/manifest.gz",
    )
    for name in ("petrihub/base", "petrihub/bio"):
        for attempt in tries:
            said = _run(cli, name, "sh", "-c", f"{attempt} 2>&1 && echo done || true")
            assert "done" not in said, attempt


@pytest.mark.parametrize("name", ["petrihub/base", "petrihub/bio"])
async def test_the_manifest_tells_of_every_file(
    cli: DockerCli, images: dict[str, BuiltImage], name: str
) -> None:
    said = _run(
        cli,
        name,
        "sh",
        "-c",
        "zcat /usr/share/petrihub/manifest.gz | grep -c '^[^/]'; "
        "find / -xdev '(' -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run "
        "-o -path /var/tmp -o -path /var/cache -o -path /root ')' -prune -o -print 2>/dev/null"
        " | wc -l",
    )
    recorded, found = (int(number) for number in said.split())
    assert found > 20_000
    assert abs(recorded - found) < 50  # what the engine puts in, and folders closed to people
