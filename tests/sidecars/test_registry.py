"""Pushing to a real registry: cut anywhere, refused, full, damaged; read back by digest."""

import os
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from petrihub_sidecars.checkpointer import registry as pushing
from petrihub_sidecars.checkpointer.registry import RegistryFailed

from tests.sidecars.registries import (
    IMPATIENT,
    Cutter,
    blob_of,
    fronted,
    refusing,
    registry,
    repository,
)

SIZE = 3 * 2**20 + 1


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(autouse=True)
def small_and_impatient(monkeypatch):
    monkeypatch.setattr(pushing, "_CHUNK", 2**20)
    monkeypatch.setattr(pushing, "WAITS", IMPATIENT)


@pytest.fixture
def blob():
    return blob_of(os.urandom(SIZE))


def kept(url, blob):
    where = f"{url}/v2/checkpoints/p/w/blobs/{blob.digest}"
    return httpx.get(where, trust_env=False)


def test_a_blob_is_pushed_once_and_read_back(real, blob):
    told = []
    repository(real).push(blob, lambda done, total: told.append(done))
    assert told == sorted(told)
    assert told[-1] == SIZE
    assert kept(real, blob).content == b"".join(blob.read(0, SIZE))
    again = []
    repository(real).push(blob, lambda done, total: again.append(done))
    assert again == [SIZE]  # nothing was sent
    repository(real).verify(blob)


@pytest.mark.parametrize("downstream", [False, True])
@pytest.mark.parametrize("part", [0, 0.01, 0.2, 0.5, 0.999, 1])
def test_a_connection_that_is_cut_costs_a_part_and_not_the_upload(real, blob, part, downstream):
    whole = 2000 if downstream else SIZE
    cutter = Cutter(int(real.rpartition(":")[2]), [int(whole * part)] * 3, downstream=downstream)
    repository(cutter.url).push(blob)
    repository(cutter.url).verify(blob)
    cutter.close()
    assert cutter.connections > 1
    assert kept(real, blob).content == b"".join(blob.read(0, SIZE))


def test_what_was_sent_before_a_cut_is_not_sent_again(real, blob, tmp_path):
    sent = []
    with fronted(real, tmp_path) as url:
        cutter = Cutter(int(url.rpartition(":")[2]), [int(2.5 * 2**20)])
        repository(cutter.url).push(blob, lambda done, total: sent.append(done))
        cutter.close()
    (back,) = [now for last, now in pairwise(sent[:-1]) if now <= last]
    assert back == 3 * 2**20  # the third chunk, and it alone
    assert kept(real, blob).status_code == 200


def test_a_read_that_is_cut_is_read_again(real, blob):
    repository(real).push(blob)
    cutter = Cutter(int(real.rpartition(":")[2]), [SIZE // 2] * 2, downstream=True)
    repository(cutter.url).verify(blob)
    assert cutter.connections == 3
    cutter.close()


def test_a_registry_that_is_gone_is_named(blob, tmp_path):
    with pytest.raises(RegistryFailed, match="does not answer"):
        repository("http://127.0.0.1:9").push(blob)


@pytest.mark.parametrize("status", [401, 429, 500, 502, 503])
def test_a_refusal_that_may_pass_is_tried_again(real, blob, status):
    with refusing(status, times=2, before=real) as url:
        repository(url).push(blob)
    assert kept(real, blob).status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "right to save"),
        (403, b'{"errors":[{"code":"DENIED"}]}', "refused: 403 .*DENIED"),
        (413, b"", "so much at once"),
        (500, b"", "error 500"),
        (507, b"", "no space left"),
        (500, b'{"errors":[{"detail":{"Enclosed":{"Op":"write","Err":28}}}]}', "no space left"),
    ],
)
def test_a_refusal_that_stays_is_named(real, blob, status, body, words):
    with refusing(status, body, before=real) as url, pytest.raises(RegistryFailed, match=words):
        repository(url).push(blob)


def test_a_token_is_asked_for_again_when_the_last_one_was_refused(real, blob):
    tokens = []

    def token() -> str:
        tokens.append(f"token {len(tokens)}")
        return tokens[-1]

    with refusing(401, times=1, before=real) as url:
        target = pushing.Repository(url, "checkpoints/p/w", token)
        target.push(blob)
    assert len(tokens) == 2


def test_f41_a_bit_that_flips_on_its_way_is_seen_and_the_blob_is_sent_again(real, blob):
    """The registry compares the whole with its name before it keeps it."""
    cutter = Cutter(int(real.rpartition(":")[2]), flip=SIZE // 2)
    told = []
    repository(cutter.url).push(blob, lambda done, total: told.append(done))
    cutter.close()
    assert sorted(told) != told  # from its beginning, once more
    assert kept(real, blob).content == b"".join(blob.read(0, SIZE))


def test_a_blob_that_rots_in_the_registry_is_not_called_saved(tmp_path, blob):
    with registry(tmp_path / "registry") as url:
        repository(url).push(blob)
        (data,) = (
            path
            for path in Path(tmp_path / "registry").rglob("data")
            if path.stat().st_size == SIZE
        )
        content = bytearray(data.read_bytes())
        content[SIZE // 2] ^= 1
        data.write_bytes(content)
        with pytest.raises(RegistryFailed, match="another layer"):
            repository(url).verify(blob)


def test_an_upload_that_arrives_damaged_is_sent_again_and_not_for_ever(real):
    content = os.urandom(1000)
    wrong = pushing.Blob(content, blob_of(b"something else").digest, 1000)
    with pytest.raises(RegistryFailed, match="lost the upload"):
        repository(real).push(wrong)
    assert kept(real, wrong).status_code == 404


def test_the_address_of_an_upload_never_leads_to_another_host():
    target = repository("http://registry.example:5000")
    found = target.at("http://attacker.example/v2/checkpoints/p/w/blobs/uploads/1?_state=a%2Fb")
    assert str(found) == (
        "http://registry.example:5000/v2/checkpoints/p/w/blobs/uploads/1?_state=a%2Fb"
    )
