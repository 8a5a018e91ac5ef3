"""The runner that a deployment's backend needs."""

from functools import lru_cache

from petrihub_core.deployment import Deployment
from petrihub_spawner.backends.local_runner import LocalRunner
from petrihub_spawner.foundation import foundation
from petrihub_spawner.runner import Runner


def make_runner(deployment: Deployment) -> Runner:
    """A fresh runner for `deployment`; connects to nothing yet."""
    if deployment.backend == "docker":
        # the Docker client is an optional dependency
        from petrihub_spawner.backends.docker_runner import DockerRunner

        return DockerRunner(deployment)
    return LocalRunner(deployment.id, deployment.logs)


@lru_cache(maxsize=1)
def shared_runner() -> Runner:
    """The one runner of this hub process."""
    return make_runner(foundation().deployment)
