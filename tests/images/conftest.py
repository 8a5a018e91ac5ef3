"""Fixtures of the image server's tests: the real registry, Caddy and the image service.

site      an image server without an engine; the "gateway" is another loopback address
ada, eve  people whose workspaces run, each with the credential of its helpers
"""

import asyncio
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from petrihub_cli.image_server import server_of, serving
from petrihub_core import checkpoints
from petrihub_core.checkpoint_records import BaseImage, Checkpoint
from petrihub_core.checkpoints import Wish
from petrihub_core.database import Database, migrate
from petrihub_core.deployment import Deployment
from petrihub_core.image_server import (
    PUSH,
    Access,
    ImageServer,
    base_repository,
    checkpoint_repository,
    sign,
)
from petrihub_core.instances import Enrolment, enrol
from petrihub_core.intents import DONE, START, Effect, Intents
from petrihub_core.keep_alive import KEEP_ALIVE_S
from petrihub_core.people import person_for
from petrihub_core.records import Person, WorkspaceImage
from petrihub_images import keeper
from petrihub_images.app import make_app
from petrihub_images.bases import Bases
from petrihub_images.context import ImageService
from petrihub_images.documents import CONFIG, DOCKER_MANIFEST, LAYER, MANIFEST
from petrihub_images.registry import Registry
from petrihub_images.sweep import Sweeper, is_swept
from petrihub_spawner.backends.engine import Engine

from tests.conftest import postgres_database, skip

GATEWAY = "127.0.0.2"  # this machine's too, and not the address that the engine uses
BASE_IMAGE, BASE_DIGEST = "petrihub/tiny", "sha256:" + "ab" * 32


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer_of(files: dict[str, bytes]) -> tuple[bytes, str]:
    """A layer as it is pushed, and the name of its content."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    plain = content.getvalue()
    return gzip.compress(plain, mtime=0), digest(plain)


@dataclass
class Member:
    """Somebody with a running workspace."""

    person: Person
    workspace: str
    credential: str
    instance: str
    intent: str

    @property
    def repository(self) -> str:
        return checkpoint_repository(self.person.id, self.workspace)


@dataclass
class Site:
    """A running image server, asked as the helpers of a workspace ask."""

    deployment: Deployment
    server: ImageServer
    database: Database
    client: httpx.AsyncClient
    service: "Answering"
    base_layer: bytes = b""
    base_manifest: str = ""

    async def member(self, name: str, workspace: str = "study") -> Member:
        async with self.database.session() as session:
            person = await person_for(session, "local", name, username=name)
        intent = await self.start(person, workspace)
        async with self.database.session() as session:
            credential = await enrol(
                session,
                Enrolment(
                    owner=person.id,
                    workspace=workspace,
                    intent=intent,
                    profile="bio-studio",
                    size="small",
                    base_image=BASE_IMAGE,
                    base_digest=BASE_DIGEST,
                ),
            )
        return Member(person, workspace, credential, credential.partition(".")[0], intent)

    async def start(self, person: Person, workspace: str, kind: str = START) -> str:
        intents = Intents(self.database, "boot")
        effect = Effect(
            kind=kind,
            workspace=f"{person.id}/{workspace}",
            owner=person.id,
            external={},
            plan={},
        )
        row = await intents.begin(effect, deadline_s=60)
        await intents.finish(row.id)
        assert (await intents.get(row.id)).state == DONE  # type: ignore[union-attr]
        return row.id

    async def ask(self, who: Member, name: str = "first", *, measure: bool = False) -> Checkpoint:
        async with self.database.session() as session:
            wish = Wish(name=name, measure_first=measure)
            return await checkpoints.ask(
                session, who.person.username, who.person, who.workspace, wish
            )

    async def row(self, checkpoint_id: str) -> Checkpoint:
        async with self.database.reading() as session:
            return await session.get_one(Checkpoint, checkpoint_id)

    async def call(
        self, method: str, path: str, who: Member | str | None, **options: Any
    ) -> httpx.Response:
        """A request from a pod; `who` is a member, or a whole header."""
        header = f"Bearer {who.credential}" if isinstance(who, Member) else who
        headers = {"Authorization": header} if header else {}
        return await self.client.request(
            method, path, headers={**headers, **options.pop("headers", {})}, **options
        )

    async def order(self, who: Member, wait: int = 20) -> dict[str, Any]:
        answer = await self.call("GET", f"/sidecar/v1/order?wait={wait}", who, timeout=30)
        assert answer.status_code == 200, answer.text
        order: dict[str, Any] = answer.json()
        return order

    async def token(self, who: Member, actions: str = "push", repository: str = "") -> str:
        scope = f"repository:{repository or who.repository}:{actions}"
        params = {"service": "petrihub-images", "scope": scope}
        answer = await self.call("GET", "/token", who, params=params)
        assert answer.status_code == 200, answer.text
        return f"Bearer {answer.json()['token']}"

    def hub_token(self, *access: Access, seconds: int = 300, subject: str = "test") -> str:
        return f"Bearer {sign(self.deployment, access, subject=subject, seconds=seconds).text}"

    async def push_blob(
        self, repository: str, token: str, content: bytes, *, url: str = ""
    ) -> httpx.Response:
        begun = await self.call("POST", f"{url}/v2/{repository}/blobs/uploads/", token)
        if begun.status_code != 202:
            return begun
        where = f"{url}{begun.headers['Location']}&digest={digest(content)}"
        return await self.call("PUT", where, token, content=content)

    async def push_manifest(
        self, repository: str, token: str, document: dict[str, Any], *, reference: str = ""
    ) -> tuple[httpx.Response, str]:
        content = json.dumps(document).encode()
        answer = await self.call(
            "PUT",
            f"/v2/{repository}/manifests/{reference or digest(content)}",
            token,
            content=content,
            headers={"Content-Type": MANIFEST},
        )
        return answer, digest(content)

    async def save(self, who: Member, order: dict[str, Any], files: dict[str, bytes]) -> Any:
        """Do what a helper does with an order to save; what it would report."""
        token = await self.token(who)
        layer, diff_id = layer_of(files)
        config = json.loads(json.dumps(order["config"]))
        config["rootfs"]["diff_ids"].append(diff_id)
        config["history"].append({"created_by": "petrihub", **order["history"]})
        packed = json.dumps(config).encode()
        for blob in (layer, packed):
            answer = await self.push_blob(order["repository"], token, blob)
            assert answer.status_code == 201, answer.text
        manifest = json.loads(json.dumps(order["manifest"]))
        manifest["config"] = {"mediaType": CONFIG, "digest": digest(packed), "size": len(packed)}
        described = {"mediaType": LAYER, "digest": digest(layer), "size": len(layer)}
        manifest["layers"].append(described)
        answer, name = await self.push_manifest(order["repository"], token, manifest)
        assert answer.status_code == 201, answer.text
        return {
            "state": "done",
            "manifest_digest": name,
            "layer": {"digest": digest(layer), "diff_id": diff_id, "size": len(layer)},
            "summary": {"added": len(files), "changed": 0, "deleted": 0, "bytes": len(layer)},
            "changes": [{"path": f"/{path}", "kind": "added", "size": 1} for path in files],
            "findings": [],
            "reason": "",
        }

    async def pull(self, repository: str, name: str, token: str) -> httpx.Response:
        """The manifest of this digest."""
        path = f"/v2/{repository}/manifests/{name}"
        return await self.call("GET", path, token, headers={"Accept": MANIFEST})

    async def report(self, who: Member, order_id: str, result: dict[str, Any]) -> httpx.Response:
        return await self.call("POST", f"/sidecar/v1/orders/{order_id}/result", who, json=result)


class Answering:
    """The image service at its address; each start is another one, which remembers nothing."""

    def __init__(self, deployment: Deployment, url: str, server: ImageServer) -> None:
        self._make = lambda: make_service(deployment, Database.open(url), server)
        host, _, port = server.service.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))

    async def start(self) -> None:
        host, port = self._address
        config = uvicorn.Config(
            make_app(self._make()),
            host=host,
            port=port,
            log_config=None,
            ws="none",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,  # helpers wait for orders for longer
        )
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._task

    async def __aenter__(self) -> "Answering":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def make_service(deployment: Deployment, database: Database, server: ImageServer) -> ImageService:
    registry = Registry(deployment, server.registry)
    engine = Engine(deployment.docker.socket)
    bases = Bases(deployment, database, registry, engine)
    return ImageService(
        deployment=deployment,
        database=database,
        registry=registry,
        bases=bases,
        sweeper=Sweeper(deployment, database, registry),
    )


def _as_docker_pushes(config: bytes, layer: bytes) -> dict[str, Any]:
    """A manifest of one layer."""
    return {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest(config),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": digest(layer),
                "size": len(layer),
            }
        ],
    }


async def keep_base(
    site: Site, name: str = BASE_DIGEST, files: dict[str, bytes] | None = None
) -> None:
    """A small base in the registry, as the engine would have pushed it; `name` is the engine's."""
    repository = base_repository(BASE_IMAGE)
    begun = False
    while not begun:  # first, as the service does: see sweep.py
        async with site.database.session() as session:
            if begun := not await is_swept(session):
                session.add(BaseImage(digest=name, repository=repository))
                if name == BASE_DIGEST:
                    session.add(WorkspaceImage(name=BASE_IMAGE, digest=name, size_bytes=1))
    token = site.hub_token(Access(repository, PUSH))
    layer, diff_id = layer_of(files or {"etc/base": b"the base"})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {
                "User": "root",
                "Env": ["PATH=/usr/bin"],
                "Entrypoint": ["/usr/bin/tini", "--"],
                "WorkingDir": "/home/researcher",
                "Labels": {"org.petrihub.profile": "{}", "org.opencontainers.image.title": "Tiny"},
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created_by": "base"}],
        }
    ).encode()
    url = site.server.loopback
    for blob in (layer, config):
        answer = await site.push_blob(repository, token, blob, url=url)
        assert answer.status_code == 201, (answer.text, answer.url)
    content = json.dumps(_as_docker_pushes(config, layer)).encode()
    answer = await site.call(
        "PUT",
        f"{url}/v2/{repository}/manifests/{name.replace(':', '-')}",
        token,
        content=content,
        headers={"Content-Type": DOCKER_MANIFEST},
    )
    assert answer.status_code == 201, answer.text
    site.base_layer, site.base_manifest = layer, digest(content)
    async with site.database.session() as session:
        (await session.get_one(BaseImage, name)).manifest_digest = digest(content)


def require_programs() -> None:
    for program in ("docker-registry", "caddy"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed (apt-get install {program})")


@asynccontextmanager
async def running_site(state: Path, url: str = "") -> AsyncIterator[Site]:
    """An image server without images; tables in the state folder, unless elsewhere."""
    require_programs()
    deployment = Deployment(state=state, backend="docker")
    deployment.logs.mkdir(parents=True, exist_ok=True)
    url = url or deployment.database_url
    await migrate(url)
    database = Database.open(url)
    server = server_of(deployment, GATEWAY)
    async with (
        serving(deployment, server),
        Answering(deployment, url, server) as service,
        httpx.AsyncClient(base_url=server.pods, trust_env=False) as client,
    ):
        yield Site(deployment, server, database, client, service)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    url = ""
    if request.param == "postgresql":
        url = await postgres_database(request.getfixturevalue("postgres"))
    async with running_site(tmp_path / "state", url) as made:
        await keep_base(made)
        yield made


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper looks twenty times in a second, and does the rest as often as ever."""
    monkeypatch.setattr(keeper, "EVERY", keeper.EVERY / 20)
    for name in ("_EXPIRE_EVERY", "_SWEEP_EVERY"):
        monkeypatch.setattr(keeper, name, getattr(keeper, name) * 20)


@pytest.fixture
async def ada(site: Site) -> Member:
    return await site.member("ada")


@pytest.fixture
async def eve(site: Site) -> Member:
    return await site.member("eve")
