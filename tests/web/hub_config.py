"""A real hub for the page tests: our templates, a spawner that the tests can hold and let go.

The folder in `PAGES_FOLDER` holds `petrihub.toml`, the ports, and `hold/`: a start waits while
`hold/<workspace>-<stage>` exists, a stop while `hold/<workspace>-stop` exists. The profile
`broken` fails in its starting stage, `full` at once.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from jupyterhub.spawner import SimpleLocalProcessSpawner

from petrihub_core.deployment import Profile, read_deployment
from petrihub_core.errors import PetriHubError
from petrihub_core.menu import Standing, judge, menu_in_file
from petrihub_core.web import size_words, static_handlers, template_paths, template_vars
from petrihub_spawner.backends.choosing import SpawnRefused
from petrihub_spawner.choices import read_choices, read_form
from petrihub_spawner.offer import AppOffer, Offer, ProfileOffer, SizeOffer
from petrihub_spawner.progress import Event, Progress
from petrihub_spawner.stages import Stage, StartFailed

HERE = Path(__file__).parent
FOLDER = Path(os.environ["PAGES_FOLDER"])
FORMS = HERE.parents[1] / "spawner" / "petrihub_spawner" / "templates"
SECONDS = 8.6  # how long starts of the bio studio usually take
deployment = read_deployment(FOLDER / "petrihub.toml")
OFFERED = judge(menu_in_file(deployment), Standing(), workspaces_per_person=3)

APPS = {
    "bio-studio": [
        "python",
        "r",
        "vscode",
        "shiny",
        "desktop",
        "igv",
        "imagej",
        "jalview",
        "cellxgene",
    ],
    "notebooks": ["python", "terminal"],
}
TITLES = {
    "python": "Python",
    "r": "R",
    "vscode": "VS Code",
    "shiny": "Shiny",
    "desktop": "Desktop",
    "igv": "IGV",
    "imagej": "ImageJ",
    "jalview": "Jalview",
    "cellxgene": "CELLxGENE",
    "terminal": "Terminal",
}


class HeldSpawner(SimpleLocalProcessSpawner):
    """A process that answers at once, behind stages that the tests hold; its words are ours."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.cmd = [sys.executable, str(HERE / "tiny_server.py")]
        self.journey = Progress()

    async def _held(self, stage: str) -> None:
        while (FOLDER / "hold" / f"{self.name}-{stage}").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def start(self) -> object:
        try:
            await self._stages()
        except PetriHubError as exc:
            self.journey.failed(exc)
            raise SpawnRefused(exc, self.journey.stage) from exc
        address = await super().start()
        self.journey.ready()
        return address

    async def _stages(self) -> None:
        profile = read_choices(self.user_options, OFFERED).profile.id
        self.journey.queued(SECONDS if profile == "bio-studio" else None)
        await self._held("queued")
        self.journey.step("plan")
        if profile == "full":
            raise StartFailed(
                "The disk is full.", stage=Stage.PREPARING, hint="Ask the administrator."
            )
        await self._held("preparing")
        if self.name == "huge":
            self.journey.step("pull")
            await self._held("asking")
            for done in (1.2, 4.9):
                words = f"Fetching the checkpoint: {done} of 5.0 GB"
                self.journey.moved(words, round(done * 10**9), 5 * 10**9)
                await self._held(f"{done}")
        self.journey.step("ready")
        await self._held("starting")
        if profile == "broken":
            raise StartFailed(
                "The image petrihub/preview is not on this machine.",
                stage=Stage.STARTING,
                hint="Ask the administrator to build it, then try again.",
                log="looking for petrihub/preview\nnot found <b>here</b>",
            )

    async def stop(self, now: bool = False) -> None:
        await self._held("stop")
        await super().stop(now)

    async def progress(self) -> AsyncIterator[Event]:
        async for event in self.journey.events():
            yield event

    async def options_form(self, _spawner: object) -> str:
        environment = Environment(loader=FileSystemLoader(FORMS), autoescape=True)
        profiles = tuple(_offered(profile) for profile in deployment.profiles)
        offer = Offer(
            profiles=profiles,
            profile="bio-studio",
            size="medium",
            limits_enforced=False,
            limits_words="Here sizes are advice, not limits.",
        )
        return environment.get_template("spawn_form.html").render(offer=offer, error="")

    def options_from_form(self, form: dict[str, list[str]]) -> dict[str, str]:
        try:
            return read_choices(read_form(form), OFFERED).options()
        except PetriHubError as exc:
            raise SpawnRefused(exc) from exc


def _offered(profile: Profile) -> ProfileOffer:
    seconds = SECONDS if profile.id == "bio-studio" else None
    return ProfileOffer(
        id=profile.id,
        title=profile.title,
        description=profile.description,
        apps=tuple(
            AppOffer(
                id=icon,
                title=TITLES[icon],
                summary="",
                icon=icon,
                unavailable="TigerVNC is not installed on this machine."
                if icon == "desktop"
                else "",
            )
            for icon in APPS.get(profile.id, [])
        ),
        sizes=tuple(
            SizeOffer(
                id=size.id,
                title=size.title,
                words=size_words(size.cpu, size.memory_gib),
                estimate_seconds=seconds,
                usual="usually about 9 s" if seconds else "",
            )
            for size in deployment.sizes
            if size.id in profile.sizes
        ),
        estimate_seconds=seconds,
        problem="The image petrihub/gpu is not built on this machine yet."
        if profile.id == "gpu"
        else "",
    )


c = get_config()  # noqa: F821 - given by JupyterHub
c.JupyterHub.bind_url = f"http://127.0.0.1:{(FOLDER / 'port').read_text()}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{(FOLDER / 'hub-port').read_text()}"
c.JupyterHub.db_url = f"sqlite:///{FOLDER}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(FOLDER / "cookie-secret")
c.JupyterHub.cleanup_servers = True
c.ConfigurableHTTPProxy.pid_file = str(FOLDER / "proxy.pid")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{(FOLDER / 'proxy-port').read_text()}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"grace"}
c.JupyterHub.spawner_class = HeldSpawner
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = deployment.workspaces.per_person
c.JupyterHub.default_url = "/hub/home"
c.JupyterHub.template_paths = [*template_paths(), str(HERE / "templates")]
c.JupyterHub.template_vars = {
    **template_vars(deployment),
    "ph_may_administer": lambda user: user is not None and user.name == "grace",
}
c.JupyterHub.extra_handlers = static_handlers()
c.JupyterHub.log_level = "WARN"
