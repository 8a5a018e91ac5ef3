"""BackendContract on a real Docker engine."""

import pytest

from petrihub_spawner.contract import BackendContract

pytestmark = pytest.mark.docker


class TestDocker(BackendContract):
    @pytest.fixture
    def bench(self, docker_bench):
        return docker_bench
