"""F17: the disk of a home is full. A save ends with an error, and the old file is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.small_disk import SmallDisk, small_disk

FILL: dict[str, Callable[[SmallDisk], None]] = {
    "no room": SmallDisk.fill,
    "no more files": SmallDisk.fill_with_files,
}


def content(words: str) -> dict[str, str]:
    return {"type": "file", "format": "text", "content": words}


@pytest.mark.parametrize("how", FILL)
async def test_a_save_without_room_or_files_ends_with_an_error_and_keeps_the_old_file(
    workspace: Any, how: str
) -> None:
    """What JupyterLab then says is shown by tests/e2e/test_places.py."""
    name = how.replace(" ", "-")
    with small_disk(workspace.home / name, 1, files=64) as disk:
        path, file = f"api/contents/{name}/notes.txt", disk.folder / "notes.txt"
        assert (await workspace.client.put(path, json=content("first"))).status_code == 201
        FILL[how](disk)
        for words in ("x" * 200_000, "second"):
            answer = await workspace.client.put(path, json=content(words))
            assert answer.status_code == 500, answer.text
            assert "No space left on device" in answer.text
            assert file.read_text() == "first"
        assert (await workspace.client.get(path)).json()["content"] == "first"
        elsewhere = f"api/contents/beside-{name}.txt"
        assert (await workspace.client.put(elsewhere, json=content("works"))).is_success
        disk.free()
        assert (await workspace.client.put(path, json=content("second"))).status_code == 200
        assert file.read_text() == "second"
        assert {each.name for each in disk.folder.iterdir()} <= {"notes.txt", ".ipynb_checkpoints"}
