"""What the form of a profile keeps that it does not show."""

from pathlib import Path

import pytest
from starlette.datastructures import FormData

from petrihub_core.deployment import Deployment
from petrihub_core.menu import menu_in_file
from petrihub_portal.menu_forms import profile_typed, read_profile
from petrihub_portal.visit import Form


@pytest.mark.parametrize(("image", "kept"), [("petrihub/cellxgene", True), ("other", False)])
def test_a_saved_profile_keeps_its_tool_while_it_keeps_its_image(
    tmp_path: Path, image: str, kept: bool
) -> None:
    menu = menu_in_file(Deployment(state=tmp_path))
    before = menu.profile("cellxgene")
    assert before is not None
    typed = {**profile_typed(before, menu), "title": "Cells", "image": image}
    form = Form(FormData([*typed.items(), ("sizes", "medium")]))
    profile, _ = read_profile(form, menu)
    assert profile.title == "Cells"
    assert profile.tool == (before.tool if kept else None)
