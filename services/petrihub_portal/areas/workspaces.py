"""Everybody's running workspaces, and the machine that they run on."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_core.errors import PetriHubError, Refused
from petrihub_core.image_room import room_by_person
from petrihub_core.roles import Permission
from petrihub_portal import machines, running
from petrihub_portal.machines import GIB
from petrihub_portal.pages import fragment, go, page
from petrihub_portal.routing import Area
from petrihub_portal.running import LONGEST_REASON, MOST_AT_ONCE, Running, Stopped
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Workspaces and machines")
_PAGE = 50
_PLACE = "admin/workspaces"
_BODY = 256 * 1024  # bytes: 200 workspaces by name
_TITLES = {
    "owner": "Owner",
    "workspace": "Workspace",
    "profile": "Profile",
    "size": "Size",
    "started": "Since",
    "last_activity": "Last activity",
}


class RunningModel(BaseModel):
    """One workspace that runs, starts or stops; `pending` is spawn, stop, check or empty."""

    owner: str
    name: str
    profile: str
    size: str
    started: datetime | None
    last_activity: datetime | None
    pending: str


class RunningList(BaseModel):
    """Everybody's running workspaces in the order asked for."""

    items: list[RunningModel]
    total: int


class OneToStop(BaseModel):
    """A workspace by its owner and its name."""

    model_config = ConfigDict(extra="forbid")

    owner: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=64)


class StopBody(BaseModel):
    """Which workspaces to stop; their owners read the reason."""

    model_config = ConfigDict(extra="forbid")

    workspaces: list[OneToStop] = Field(min_length=1, max_length=MOST_AT_ONCE)
    reason: str = Field("", max_length=LONGEST_REASON)


class StoppedModel(BaseModel):
    """What became of one stop; `problem` is empty if it is done or under way."""

    owner: str
    name: str
    problem: str


class MachineModel(BaseModel):
    """This machine; cores and bytes."""

    name: str
    cpus: int
    load: float
    memory_total: int
    memory_used: int
    disk_total: int
    disk_used: int
    disk_path: str


class ReservedModel(BaseModel):
    """What running workspaces may use in sum; `unknown` are those of which no plan is kept."""

    cpu: float
    memory_bytes: int
    workspaces: int
    unknown: int


class EngineModel(BaseModel):
    """The Docker engine; `problem` says why it does not answer."""

    problem: str
    version: str
    disk_bytes: int


class ImageModel(BaseModel):
    """An image that workspaces may run; `present` null: the engine cannot be asked."""

    name: str
    digest: str
    size_bytes: int
    built_at: datetime
    present: bool | None


class CapacityModel(BaseModel):
    """The machine, what is promised on it, its engine and images."""

    machine: MachineModel
    reserved: ReservedModel | None
    reserved_problem: str
    engine: EngineModel | None
    images: list[ImageModel]


@area.page("GET", "/admin/workspaces", needs=Permission.WORKSPACES_READ)
async def list_page(
    visit: CurrentVisit,
    q: Annotated[str, Query(max_length=100)] = "",
    sort: Annotated[str, Query(max_length=20)] = "owner",
    down: Annotated[bool, Query()] = False,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Everybody's running workspaces: search, sort, stop."""
    problem, everything = "", []
    try:
        everything = await running.all_running(visit.portal)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
    found = running.chosen(everything, search=q, sort=sort, descending=down)
    pages = max(1, -(-len(found) // _PAGE))
    number = min(number, pages)

    def address(**changes: object) -> str:
        asked = {"q": q, "sort": sort, "down": int(down), **changes}
        return "?" + urlencode({name: value for name, value in asked.items() if value})

    columns = [
        (
            title,
            address(sort=name, down=int(sort == name and not down)),
            ("descending" if down else "ascending") if sort == name else "none",
        )
        for name, title in _TITLES.items()
    ]
    return await page(
        visit,
        "workspaces.html",
        status=503 if problem else 200,
        items=found[_PAGE * (number - 1) : _PAGE * number],
        total=len(everything),
        found=len(found),
        q=q,
        sort=sort,
        down=down,
        columns=columns,
        number=number,
        pages=pages,
        address=address,
        may_stop=visit.may(Permission.WORKSPACES_STOP),
        may_see_machines=visit.may(Permission.MACHINES_READ),
        error=problem,
    )


@area.page("POST", "/admin/workspaces/stop", needs=Permission.WORKSPACES_STOP, max_body=_BODY)
async def stop_page(visit: CurrentVisit) -> Response:
    """Ask once more with the list of what would stop, then stop it (`sure=yes`)."""
    form = await form_of(visit)
    keys = form.many("one") or form.many("workspace")
    wanted = [_parts(key) for key in keys]
    if form.one("sure") != "yes":
        if not wanted:
            raise Refused("No workspace is chosen.", hint="Go back and tick those that shall stop.")
        return await page(visit, "workspaces_stop.html", wanted=wanted, longest=LONGEST_REASON)
    answers = await running.stop(visit.portal, visit.actor, wanted, form.one("reason"))
    return go(visit, _PLACE, **_said(answers))


def _parts(key: str) -> tuple[str, str]:
    owner, slash, name = key.partition("/")
    if not (owner and slash and name) or len(key) > 130:
        raise Refused("This names no workspace.", hint="Reload the list, then choose again.")
    return owner, name


def _said(answers: list[Stopped]) -> dict[str, str]:
    failed = [each for each in answers if each.problem]
    done = len(answers) - len(failed)
    words = f"{done} workspace{' is' if done == 1 else 's are'} stopping; their owners are told."
    if not failed:
        return {"said": words}
    first = failed[0]
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    problem = f"Not stopped: {first.owner}/{first.name}{more}. {first.problem}"
    return {"said": f"{words} {problem}" if done else problem, "kind": "bad"}


async def _capacity(visit: Visit) -> machines.Capacity:
    everything: list[Running] | None = None
    problem = ""
    try:
        everything = await running.all_running(visit.portal)
    except PetriHubError as exc:
        problem = exc.jupyterhub_message
    return await machines.look(visit.portal, everything, problem)


@area.page("GET", "/admin/machines", needs=Permission.MACHINES_READ)
async def machines_page(visit: CurrentVisit) -> Response:
    """The machine, its engine and its images; a fragment for htmx."""
    async with visit.portal.database.reading() as session:
        rooms = await room_by_person(session)
    values: dict[str, Any] = {
        "capacity": await _capacity(visit),
        "rooms": rooms,
        "gib": GIB,
        "backend": visit.portal.deployment.backend,
    }
    if visit.htmx:
        return fragment(visit, "parts/machines.html", **values)
    return await page(visit, "machines.html", **values)


@area.api("GET", "/workspaces", needs=Permission.WORKSPACES_READ)
async def list_api(
    visit: CurrentVisit,
    search: Annotated[str, Query(max_length=100)] = "",
    sort: Annotated[str, Query(max_length=20)] = "owner",
    descending: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> RunningList:
    """Everybody's running workspaces; `sort` is owner, workspace, profile, size, started or
    last_activity.
    """
    everything = await running.all_running(visit.portal)
    found = running.chosen(everything, search=search, sort=sort, descending=descending)
    items = [RunningModel(**asdict(each)) for each in found[offset : offset + limit]]
    return RunningList(items=items, total=len(found))


@area.api("POST", "/workspaces/stop", needs=Permission.WORKSPACES_STOP, max_body=_BODY)
async def stop_api(visit: CurrentVisit, body: StopBody) -> list[StoppedModel]:
    """Stop these workspaces; what became of each."""
    wanted = [(each.owner, each.name) for each in body.workspaces]
    answers = await running.stop(visit.portal, visit.actor, wanted, body.reason)
    return [StoppedModel(**asdict(each)) for each in answers]


@area.api("GET", "/machines", needs=Permission.MACHINES_READ)
async def machines_api(visit: CurrentVisit) -> CapacityModel:
    """This machine, what running workspaces may use of it, the engine and its images."""
    found = await _capacity(visit)
    engine = found.engine
    return CapacityModel(
        machine=MachineModel(**asdict(found.machine)),
        reserved=ReservedModel(**asdict(found.reserved)) if found.reserved else None,
        reserved_problem=found.reserved_problem,
        engine=EngineModel(
            problem=engine.problem, version=engine.version, disk_bytes=engine.disk_bytes
        )
        if engine
        else None,
        images=[ImageModel(**asdict(each)) for each in found.images],
    )
