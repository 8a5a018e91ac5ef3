"""A whole list of people at once, from a spreadsheet's CSV."""

from dataclasses import asdict

from fastapi import BackgroundTasks
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from petrihub_authenticators import links
from petrihub_core.errors import PetriHubError, Refused
from petrihub_core.roles import Permission
from petrihub_portal import csv_import
from petrihub_portal.areas.people import life_of, public_url
from petrihub_portal.csv_import import MOST_BYTES, Issued, Judged
from petrihub_portal.hub_groups import follow
from petrihub_portal.pages import page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("People")

_BODY = 4 * MOST_BYTES  # a form writes some characters with three bytes
_SHOWN = 200  # rows that the preview shows when nothing is wrong with them


async def _judged(visit: Visit, rows: list[csv_import.Row]) -> list[Judged]:
    async with visit.portal.database.reading() as session:
        return await csv_import.judge(session, visit.actor, rows)


async def _applied(
    visit: Visit, background: BackgroundTasks, rows: list[csv_import.Row]
) -> list[Issued]:
    async with visit.portal.database.session() as session:
        issued = await csv_import.apply(session, visit.actor, rows)
    # the hub may need a while for many new people, and nobody has to wait for that
    named = {group for row in rows if row.name for group in row.groups}
    background.add_task(follow, visit.portal, named)
    return issued


async def _upload(visit: Visit, error: PetriHubError | None = None) -> Response:
    return await page(
        visit,
        "people_import.html",
        status=error.status if error else 200,
        columns=csv_import.COLUMNS,
        error=error.jupyterhub_message if error else "",
    )


@area.page("GET", "/admin/people-import", needs=Permission.PEOPLE_WRITE)
async def upload_page(visit: CurrentVisit) -> Response:
    """Choose the file."""
    return await _upload(visit)


@area.page("POST", "/admin/people-import", needs=Permission.PEOPLE_WRITE, max_body=_BODY)
async def preview(visit: CurrentVisit) -> Response:
    """What will happen to each row; nothing happens yet."""
    data = await (await form_of(visit)).file("file")
    try:
        if not data:
            raise Refused("No file was chosen.", hint="Choose a CSV file.")
        judged = await _judged(visit, csv_import.read(data))
    except PetriHubError as exc:
        return await _upload(visit, exc)
    wrong = [each for each in judged if each.problem]
    return await page(
        visit,
        "people_preview.html",
        status=409 if wrong else 200,
        judged=(wrong or judged)[:_SHOWN],
        wrong=len(wrong),
        total=len(judged),
        content=data.decode("utf-8-sig"),
    )


@area.page("POST", "/admin/people-import/apply", needs=Permission.PEOPLE_WRITE, max_body=_BODY)
async def apply(visit: CurrentVisit, background: BackgroundTasks) -> Response:
    """Take the whole list, or nobody; the links are shown on this page only."""
    content = (await form_of(visit)).one("content")
    try:
        issued = await _applied(visit, background, csv_import.read(content.encode()))
    except PetriHubError as exc:
        return await _upload(visit, exc)
    async with visit.portal.database.reading() as session:
        life = await life_of(session, links.Kind.INVITE)
    answer = await page(
        visit,
        "people_imported.html",
        life=life,
        total=len(issued),
        content=csv_import.write_links(issued, public_url(visit)),
    )
    answer.background = background
    return answer


@area.page("POST", "/admin/people-import/file", needs=Permission.PEOPLE_WRITE, max_body=_BODY)
async def download(visit: CurrentVisit) -> Response:
    """The links of an import as a file: the page that shows them once sends them here."""
    return Response(
        (await form_of(visit)).one("content") + "\r\n",
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="invitations.csv"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


class ImportBody(BaseModel):
    """A list as CSV text. With `apply` false it is only judged."""

    model_config = ConfigDict(extra="forbid")

    csv: str = Field(max_length=MOST_BYTES)
    apply: bool = False


class ImportRow(BaseModel):
    """One row; `problem` is empty if it can be taken, `link` is there once it was taken."""

    line: int
    name: str
    email: str
    role: str
    groups: list[str]
    problem: str = ""
    link: str = ""


class ImportAnswer(BaseModel):
    """What became of the list, or would."""

    applied: bool
    rows: list[ImportRow]


def _model(row: csv_import.Row, *, problem: str = "", link: str = "") -> ImportRow:
    return ImportRow.model_validate({**asdict(row), "problem": problem, "link": link})


@area.api("POST", "/people/import", needs=Permission.PEOPLE_WRITE, max_body=_BODY)
async def import_api(
    visit: CurrentVisit, body: ImportBody, background: BackgroundTasks
) -> ImportAnswer:
    """Invite a whole list: all of it or, if anything is wrong with a row, nobody."""
    rows = csv_import.read(body.csv.encode("utf-8", "replace"))
    if not body.apply:
        judged = await _judged(visit, rows)
        return ImportAnswer(
            applied=False, rows=[_model(each.row, problem=each.problem) for each in judged]
        )
    issued = await _applied(visit, background, rows)
    base = public_url(visit)
    return ImportAnswer(
        applied=True,
        rows=[_model(each.row, link=links.address_of(base, each.code)) for each in issued],
    )
