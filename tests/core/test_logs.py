"""Logs: one JSON object a line, with request id, bounded."""

import json
import subprocess
import sys

SCRIPT = """
from petrihub_core.logs import configure_logs, get_logger, new_request_id
configure_logs("hub")
log = get_logger("test")
log.info("before")
rid = new_request_id()
log.warning("asked", name="eve\\n{\\"forged\\": 1}" + "x" * 10000)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broke")
print(rid)
"""


def test_each_line_is_one_bounded_object_with_the_request_id() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, asked, broke = (json.loads(line) for line in run.stderr.splitlines())
    rid = run.stdout.strip()
    assert "request_id" not in before
    assert before["component"] == "hub"
    assert asked["request_id"] == broke["request_id"] == rid
    assert len(asked["name"]) < 600
    assert "forged" in asked["name"]
    assert "ZeroDivisionError" in broke["exception"]
