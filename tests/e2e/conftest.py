"""`studio`: a whole PetriHub on one backend with its first admin signed up, for one test file."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from playwright.sync_api import Browser, expect

from petrihub_cli.engine import find_engine
from petrihub_core.ports import free_port
from petrihub_spawner.pod.model import DEPLOYMENT_LABEL

from tests.e2e.studio import HOME, Studio, choose_password
from tests.platform import start_up


def backends() -> list[object]:
    return ["local", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="module", params=backends())
def studio(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Studio]:
    state = tmp_path_factory.mktemp("studio") / "state"
    with signed_up(browser, state, request.param, free_port()) as made:
        yield made


@contextmanager
def signed_up(browser: Browser, state: Path, backend: str, port: int) -> Iterator[Studio]:
    """A PetriHub with this state folder; its first admin is signed up as marie."""
    run = start_up(state, backend, port)
    context = browser.new_context(viewport={"width": 1360, "height": 850})
    page = context.new_page()
    page.goto(run.first_admin)
    choose_password(page, "marie")
    expect(page).to_have_url(run.url + HOME)
    yield Studio(backend, run, browser, context)
    context.close()
    assert run.interrupt() == 0
    if backend == "docker":
        forget((run.state / "deployment-id").read_text().strip())


def forget(deployment: str) -> None:
    """Remove what a deployment keeps on purpose when it stops: homes and the hub's network."""
    # the browser's driver runs a loop in this thread, so ours gets a thread of its own
    with ThreadPoolExecutor(1) as thread:
        engine = thread.submit(asyncio.run, find_engine()).result()
    if engine is None:  # `up` had started it and has stopped it
        return
    client = docker.DockerClient(base_url=engine.url)
    mine = {"label": f"{DEPLOYMENT_LABEL}={deployment}"}
    assert client.containers.list(all=True, filters=mine) == []
    for left in (*client.networks.list(filters=mine), *client.volumes.list(filters=mine)):
        left.remove()
