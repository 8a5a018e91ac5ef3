"""BackendContract on the real backends."""

import pytest

from petrihub_spawner.contract import BackendContract


class TestLocalProcesses(BackendContract):
    @pytest.fixture
    def bench(self, local_bench):
        return local_bench
