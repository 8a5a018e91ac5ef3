"""Fixtures of the tests of storage on other machines.

house    a portal on real tables and a file server beside it (module)
tables   its tables, to make people, groups and starts
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from petrihub_core.database import Database
from petrihub_core.deployment import Deployment
from petrihub_core.intents import Intents

from tests.conftest import skip
from tests.storage.house import House, Tables


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if shutil.which("sshd", path="/usr/sbin") is None or os.geteuid() != 0:
        skip("OpenSSH's server is not installed, or this is not root")
    folder = tmp_path_factory.mktemp("house")
    state = folder / "state"
    state.mkdir()
    made = House(folder, Deployment(state=state, backend="docker"))
    with made.serving():
        yield made


@pytest.fixture
async def tables(house: House) -> AsyncIterator[Tables]:
    database = Database.open(house.deployment.database_url)
    yield Tables(house, database, Intents(database, "test"))
    await database.close()
