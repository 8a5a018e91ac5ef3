"""What starts is there at once: nobody waits for what is not needed."""

import subprocess
import sys

from petrihub_cli.product import ROOT

HEAVY = {"alembic", "docker", "fastapi", "httpx", "jupyterhub", "pydantic", "sqlalchemy", "tornado"}


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    program = "import sys, petrihub_cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "petrihub_cli.images.commands" in loaded
    assert HEAVY & loaded == set()


def test_no_hub_or_jupyter_server_waits_for_a_parser_that_nobody_uses() -> None:
    # jsonschema would load it where it is: 1.5 seconds of each start
    assert 'name = "rfc3987-syntax"' not in (ROOT / "uv.lock").read_text()
