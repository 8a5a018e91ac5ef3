"""What JupyterLab is told of saving."""

from dataclasses import replace

from petrihub_core.deployment import Deployment
from petrihub_spawner.planner import plan

from tests.spawner.test_saving import IMAGES, request


def test_jupyterlab_is_told_where_to_ask_only_where_it_can_be_saved(tmp_path):
    asked = request(Deployment(state=tmp_path, backend="docker"))
    url = "http://10.213.0.1:5001/services/portal/api/v1/workspace"
    assert plan(asked).main.environment["PETRIHUB_CHECKPOINTS_URL"] == url
    for missing in ({"image_server": None}, {"images": {"petrihub/bio": IMAGES["petrihub/bio"]}}):
        assert "PETRIHUB_CHECKPOINTS_URL" not in plan(replace(asked, **missing)).main.environment
