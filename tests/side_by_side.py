"""Three test processes side by side (`scripts/test` without arguments): who runs what, and when.

The groups that pytest-xdist itself knows do nothing with pytest 9.2 (its issue 1386); this is its
documented hook for others.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from petrihub_cli import prepare
from petrihub_cli.images.recipe import find_source
from petrihub_cli.images.wheel import extensions_wheel
from petrihub_core.deployment import Deployment

from tests.platform import INSTALLED

ENGINE = "engine"
ON_THE_ENGINE = (
    *("tests/cli/test_engine", "tests/cli/test_images_added", "tests/cli/test_images_built"),
    *(
        "tests/cli/test_images_open",
        "tests/e2e/test_checkpoints",
        "tests/e2e/test_remote",
        "tests/e2e/test_tools",
    ),
    *("tests/images/test_engine", "tests/images/test_kept", "tests/images/test_shared_engine"),
    "tests/images/test_rebuilt",
    *("tests/production/", "tests/sidecars/test_checkpointer_engine", "tests/spawner/docker/"),
    "tests/storage/test_mounts",
)
# those that take longest first, so that all processes end at the same time
LONGEST = (ENGINE, "portal", "images", "spawner", "e2e", "cli", "web", "sidecars", "authenticators")


def group_of(nodeid: str) -> str:
    """What must run in one process: a folder shares what it starts, the engine has its networks."""
    if nodeid.startswith(ON_THE_ENGINE) or (
        nodeid.startswith("tests/e2e/") and "[docker" in nodeid
    ):
        return ENGINE
    _, folder, *below = nodeid.partition("::")[0].split("/")
    return folder if below else nodeid


class Groups(LoadScopeScheduling):
    """Gives a process one group after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.name not in item.nodeid:
            # schemathesis 4 with pytest 9.2 gives all routes one id, and one of them would run
            item._id = item._id.with_params(item.name.partition("[")[2].removesuffix("]"))
        if item.get_closest_marker("docker") and group_of(item.nodeid) != ENGINE:
            raise pytest.UsageError(f"{item.nodeid}: tests/side_by_side.py does not know of it")
    twice = [name for name, times in Counter(item.nodeid for item in items).items() if times > 1]
    if twice:
        raise pytest.UsageError(f"Only one test of each of these names would run: {twice[:5]}")
    if hasattr(config, "workerinput"):
        order = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make what all processes use before they start: each would wait for it."""
    if not session.config.pluginmanager.hasplugin("dsession"):
        return
    shared = Deployment(state=INSTALLED)
    shared.logs.mkdir(parents=True, exist_ok=True)
    shared_proxy()
    prepare.local_environments(shared, print)
    log = shared.logs / "wheel.log"
    asyncio.run(extensions_wheel(find_source(), ca_bundle=None, log=log, progress=print))


def shared_proxy() -> Path:
    """The folder of the routing proxy that all tests use."""
    prepare.proxy(Deployment(state=INSTALLED), lambda _: None)
    return (INSTALLED / "proxy").resolve()
