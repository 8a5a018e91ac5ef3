"""The checkpointer as a whole: an order in, a checkpoint in a real registry, a result out."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from petrihub_sidecars.checkpointer import main as program
from petrihub_sidecars.checkpointer import registry as pushing
from petrihub_sidecars.checkpointer.service import Order, Service

from tests.sidecars.desk import CREDENTIAL, Desk, order
from tests.sidecars.registries import IMPATIENT, push_base, refusing, registry
from tests.sidecars.saving import MANIFEST, Bench, apply, inventory

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU" * 5 + "\n"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    (made.base / "opt").mkdir()
    (made.base / "opt/tool").write_text("of the image")
    made.record()
    (made.root.parent / "environ").write_text(f"JUPYTERHUB_API_TOKEN={TOKEN}\0LANG=C\0")
    return made


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def carried_out(bench, desk, asked):
    """The result of an order, from the desk it was handed in at."""
    desk.orders.put(asked)
    service = Service(desk.url, CREDENTIAL, sleep=lambda _: None)
    program.work(service, bench.subject)
    service.close()
    return desk.results.get(timeout=60)


def fetched(url: str, digest: str, kind: str = "blobs") -> bytes:
    where = f"{url}/v2/checkpoints/p/w/{kind}/{digest}"
    answer = httpx.get(where, headers={"Accept": pushing.OCI_MANIFEST}, trust_env=False)
    assert answer.status_code == 200
    return answer.content


def test_a_save_is_in_the_registry_with_what_it_says(bench, desk, real, tmp_path):
    (bench.root / "opt/mine").write_text("42")
    (bench.root / "opt/tool").unlink()
    base = push_base(real, "checkpoints/p/w")
    result = carried_out(bench, desk, order("save", real, base))
    assert result["state"] == "done"
    assert result["summary"] == {"added": 1, "changed": 0, "deleted": 1, "bytes": 2}
    assert result["changes"] == [
        {"path": "/opt/mine", "kind": "added", "size": 2},
        {"path": "/opt/tool", "kind": "deleted", "size": 0},
    ]
    manifest = json.loads(fetched(real, result["manifest_digest"], "manifests"))
    config = json.loads(fetched(real, manifest["config"]["digest"]))
    assert manifest["layers"][-1]["digest"] == result["layer"]["digest"]
    assert config["rootfs"]["diff_ids"] == [result["layer"]["diff_id"]]
    assert config["history"][-1]["author"] == "Ada"
    assert config["history"][-1]["comment"] == "before"
    layer = tmp_path / "layer"
    layer.write_bytes(fetched(real, result["layer"]["digest"]))
    apply(layer, bench.base)
    assert inventory(bench.base) == inventory(bench.root)


def test_a_measure_tells_the_same_and_pushes_nothing(bench, desk):
    (bench.root / "opt/mine").write_text("42")
    result = carried_out(bench, desk, order("measure", "http://127.0.0.1:9", ({}, {})))
    assert result["state"] == "done"
    assert result["summary"] == {"added": 1, "changed": 0, "deleted": 0, "bytes": 2}
    assert "manifest_digest" not in result
    assert not any(path.startswith("/token") for path in desk.asked)


def test_the_folders_in_which_places_are_mounted_are_no_change(bench, desk):
    """The engine makes them; a group's name would stay in the image when its folder is gone."""
    (bench.root / "mnt/shared/imaging").mkdir(parents=True)
    (bench.root / "mnt/public").mkdir()
    result = carried_out(bench, desk, order("measure", "http://127.0.0.1:9", ({}, {})))
    assert [change["path"] for change in result["changes"]] == ["/mnt"]
    assert result["summary"]["bytes"] == 0


def test_the_same_workspace_saved_twice_is_the_same_checkpoint(bench, desk, real):
    (bench.root / "opt/mine").write_text("42")
    base = push_base(real, "checkpoints/p/w")
    first = carried_out(bench, desk, order("save", real, base))
    assert carried_out(bench, desk, order("save", real, base)) == first
    (bench.root / "opt/mine").write_text("43")
    assert carried_out(bench, desk, order("save", real, base)) != first


def test_secrets_are_named_before_anything_is_pushed(bench, desk, real):
    """A53: keys, tokens, the workspace's own secrets."""
    for name, text in {
        "opt/notes.txt": "Schlüssel: AKIAIOSFODNN7EXAMPLE " + "AKIA" + "Q3EGRZ5ZT6BEQXYZ",
        "opt/key": KEY,
        "opt/app/.env": "PASSWORD=x",
        "opt/hub.log": f"Authorization: token {TOKEN}",
        "opt/model.py": 'token = "hf_' + "aBcDeFgHiJ" * 3 + 'kLmN"',
        "opt/example.py": "AKIAIOSFODNN7EXAMPLE and -----BEGIN PRIVATE KEY-----",
        "opt/.env.example": "PASSWORD=",
    }.items():
        (bench.root / name).parent.mkdir(exist_ok=True)
        (bench.root / name).write_bytes(text.encode("latin1"))
    base = push_base(real, "checkpoints/p/w")
    found = [
        {"path": "/opt/app/.env", "pattern": "secret-file"},
        {"path": "/opt/hub.log", "pattern": "workspace-token"},
        {"path": "/opt/key", "pattern": "private-key"},
        {"path": "/opt/model.py", "pattern": "hugging-face-token"},
        {"path": "/opt/notes.txt", "pattern": "aws-key"},
    ]
    measured = carried_out(bench, desk, order("measure", real, base))
    assert (measured["state"], measured["findings"]) == ("confirm", found)
    refused = carried_out(bench, desk, order("save", real, base))
    assert (refused["state"], refused["findings"]) == ("confirm", found)
    assert not any(path.startswith("/token") for path in desk.asked)
    some = [each["path"] for each in found[:-1]]
    left = carried_out(bench, desk, order("save", real, base, accept_findings=some))
    assert (left["state"], left["findings"]) == ("confirm", found[-1:])
    accepted = [each["path"] for each in found]
    saved = carried_out(bench, desk, order("save", real, base, accept_findings=accepted))
    assert saved["state"] == "done"
    assert TOKEN not in json.dumps([measured, refused, saved, desk.told])


def test_progress_is_told_and_a_withdrawn_order_ends(bench, desk, real):
    (bench.root / "opt/mine").write_bytes(os.urandom(2**20))
    base = push_base(real, "checkpoints/p/w")
    carried_out(bench, desk, order("save", real, base))
    assert {"pushing", "verifying"} <= {each["stage"] for each in desk.told}
    (bench.root / "opt/mine").write_bytes(os.urandom(2**20))
    desk.gone = True
    desk.orders.put(order("save", real, base))
    service = Service(desk.url, CREDENTIAL)
    program.work(service, bench.subject)
    assert desk.results.empty()


def test_a_silent_service_is_asked_again_with_growing_pauses(bench, desk):
    pauses = []
    desk.silent = 4
    desk.orders.put(order("measure", "", ({}, {})))
    service = Service(desk.url, CREDENTIAL, sleep=pauses.append)
    data = service.next_order()
    assert pauses == [1, 2, 4, 8]
    desk.silent = 2
    service.result(data["id"], {"state": "done"})
    assert desk.results.get(timeout=60)["order"] == "order-1"
    assert pauses[4:] == [1, 2]


def test_a_registry_that_is_down_fails_in_words_and_the_next_order_succeeds(
    bench, desk, real, monkeypatch
):
    monkeypatch.setattr(pushing, "WAITS", IMPATIENT)
    base = push_base(real, "checkpoints/p/w")
    result = carried_out(bench, desk, order("save", "http://127.0.0.1:9", base))
    assert result["state"] == "failed"
    assert "does not answer" in result["reason"]
    with refusing(507, before=real) as full:
        result = carried_out(bench, desk, order("save", full, base))
    assert result["reason"] == "The image server has no space left."
    assert carried_out(bench, desk, order("save", real, base))["state"] == "done"


@pytest.mark.parametrize("wrong", [{"kind": "delete"}, {"kind": None}, {"accept_findings": 7}])
def test_an_order_that_makes_no_sense_is_answered(bench, desk, wrong):
    result = carried_out(bench, desk, {**order("save", "", ({}, {})), **wrong})
    assert result["state"] == "failed"
    assert "cannot be understood" in result["reason"]


def test_an_image_that_records_nothing_is_named(bench, desk):
    (bench.root / MANIFEST).unlink()
    result = carried_out(bench, desk, order("measure", "", ({}, {})))
    assert "has no list of its files" in result["reason"]
    (bench.root / MANIFEST).write_bytes(b"not gzip")
    result = carried_out(bench, desk, order("measure", "", ({}, {})))
    assert "damaged" in result["reason"]


def test_an_order_says_what_it_needs():
    with pytest.raises(KeyError):
        Order.read({})


RUN = """
import sys
from pathlib import Path
from petrihub_sidecars.checkpointer import job, main, registry
from petrihub_sidecars.checkpointer.service import Service
registry._CHUNK = 2**20
job._TELL_EVERY = 0
main.work(Service(sys.argv[1], sys.argv[2]), job.Subject(Path(sys.argv[3])))
"""


@pytest.mark.parametrize("stage", ["comparing", "packing", "pushing", "verifying"])
def test_a_checkpointer_that_is_killed_is_done_by_the_next_one(bench, desk, real, stage):
    (bench.root / "opt/data").write_bytes(os.urandom(6 * 2**20))
    base = push_base(real, "checkpoints/p/w")
    desk.orders.put(order("save", real, base))
    desk.hold = stage
    process = subprocess.Popen([sys.executable, "-c", RUN, desk.url, CREDENTIAL, bench.root.parent])
    assert desk.held.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    desk.hold = ""
    assert desk.results.empty()
    result = carried_out(bench, desk, order("save", real, base))
    assert result["state"] == "done"
    assert fetched(real, result["layer"]["digest"])


def test_a_process_that_can_be_looked_into_does_not_work():
    done = subprocess.run(
        [sys.executable, "-m", "petrihub_sidecars", "checkpointer"],
        capture_output=True,
        text=True,
        env={"PETRIHUB_IMAGES_URL": "http://127.0.0.1:9", "PETRIHUB_SIDECAR_CREDENTIAL": "x.y"},
        check=False,
    )
    assert done.returncode == 1
    assert "must not be readable" in done.stderr
