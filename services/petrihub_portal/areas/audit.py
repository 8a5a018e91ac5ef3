"""The audit trail: search, one row, export, and the check of the chain."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Path, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from petrihub_core import audit, audit_search
from petrihub_core.audit import Line
from petrihub_core.audit_search import OUTCOMES, Filter
from petrihub_core.errors import NotFound, Refused
from petrihub_core.roles import Permission
from petrihub_portal import audit_checks
from petrihub_portal.audit_checks import Report
from petrihub_portal.pages import fragment, page
from petrihub_portal.routing import Area
from petrihub_portal.visit import CurrentVisit, Visit, form_of

area = Area("Audit")

_PAGE = 50
_MOST_NUMBER = 2**31 - 1  # the column is a 32-bit integer
_READ = Permission.AUDIT_READ
Outcome = Literal["", "ok", "refused", "failed"]
Number = Annotated[int, Path(ge=1, le=_MOST_NUMBER)]


class Search(BaseModel):
    """What is looked for; what is left out does not filter."""

    model_config = ConfigDict(extra="forbid")

    actor: str = Field("", max_length=64, description="Who did it: the whole name.")
    action: str = Field(
        "", max_length=64, description='What was done; "person." finds all that begin so.'
    )
    target: str = Field("", max_length=160, description="A part of what it was done to.")
    outcome: Outcome = Field("", description="How it ended.")
    since: AwareDatetime | None = Field(None, description="The first moment that counts.")
    until: AwareDatetime | None = Field(None, description="The first moment that does not.")

    def filter(self) -> Filter:
        """The same for the domain."""
        return Filter(**self.model_dump(include=set(Search.model_fields)))


class Wanted(Search):
    """One page of a search."""

    limit: int = Field(_PAGE, ge=1, le=200, description="Rows of a page.")
    before: int | None = Field(
        None, ge=1, le=_MOST_NUMBER, description="`next` of the page before; empty: the newest."
    )


class WantedExport(Search):
    """An export of everything that a search finds."""

    format: Literal["jsonl", "csv"] = Field("jsonl", description="jsonl is exact; csv is to read.")


class Row(BaseModel):
    """One row of the trail; `digest` is of all the rest, `previous` is that of the row before."""

    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    detail: dict[str, Any]
    previous: str
    digest: str


class Rows(BaseModel):
    """A page of rows, newest first; `next` is `before` of the next page, null on the last."""

    rows: list[Row]
    next: int | None


class Head(BaseModel):
    """The newest row: keep it elsewhere to be able to prove what was there."""

    seq: int
    digest: str


def _row(line: Line) -> Row:
    return Row(**audit_search.as_document(line))


@area.api("GET", "/audit", needs=_READ)
async def search(visit: CurrentVisit, wanted: Annotated[Wanted, Query()]) -> Rows:
    """Search the trail, newest first."""
    async with visit.portal.database.reading() as session:
        found = await audit_search.search(
            session, wanted.filter(), limit=wanted.limit + 1, before=wanted.before
        )
    rows = [_row(line) for line in found[: wanted.limit]]
    return Rows(rows=rows, next=rows[-1].seq if len(found) > wanted.limit else None)


@area.api(
    "GET",
    "/audit/export",
    needs=_READ,
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "All matching rows, oldest first.",
            "content": {
                "application/jsonl": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
async def export(visit: CurrentVisit, wanted: Annotated[WantedExport, Query()]) -> Response:
    """Everything that the search finds, as a file."""
    shown = wanted.model_dump(mode="json", exclude_defaults=True)
    database = visit.portal.database
    async with database.session() as session:
        await audit.record(
            session, actor=visit.actor.name, action="audit.exported", target="audit", detail=shown
        )
    lines, kind = {
        "jsonl": (audit_search.json_lines, "application/jsonl"),
        "csv": (audit_search.csv_lines, "text/csv; charset=utf-8"),
    }[wanted.format]
    name = f"audit-{datetime.now(UTC):%Y%m%d-%H%M%S}.{wanted.format}"
    return StreamingResponse(
        lines(database, wanted.filter()),
        media_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


@area.api("GET", "/audit/head", needs=_READ)
async def newest(visit: CurrentVisit) -> Head:
    """The head of the chain; number 0 before the first row."""
    async with visit.portal.database.reading() as session:
        found = await audit.head(session)
    return Head(seq=found.seq, digest=found.digest)


@area.api("POST", "/audit/check", needs=_READ)
async def check_all(visit: CurrentVisit) -> Report:
    """Check the whole chain, and the heads that were kept outside the database."""
    return await audit_checks.check_all(visit.portal, visit.actor.name)


@area.api("GET", "/audit/{seq}", needs=_READ)
async def one(visit: CurrentVisit, seq: Number) -> Row:
    """One row."""
    return _row(await _one(visit, seq))


async def _one(visit: Visit, seq: int) -> Line:
    async with visit.portal.database.reading() as session:
        line = await audit_search.one(session, seq)
    if line is None:
        raise NotFound(f"The audit trail has no row {seq}.")
    return line


@dataclass(frozen=True)
class _Asked:
    """What the page's form holds, as text, and as a filter."""

    fields: dict[str, str]
    wanted: Filter
    before: int | None

    def address(self, before: int | None = None) -> str:
        """The query of the same search."""
        more = {"before": str(before)} if before else {}
        return urlencode({key: value for key, value in self.fields.items() if value} | more)


def _moment(text: str, name: str) -> datetime | None:
    """A moment as a browser's field sends it: without a zone it is UTC, as the page says."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise Refused(
            f"The time in “{name}” cannot be read.", hint="Write it as 2026-01-31T08:00."
        ) from exc


def _asked(visit: Visit) -> _Asked:
    query = visit.request.query_params
    fields = {
        key: query.get(key, "").strip()[:160]
        for key in ("actor", "action", "target", "outcome", "since", "until")
    }
    before = query.get("before", "")
    if fields["outcome"] not in ("", *OUTCOMES):
        raise Refused("There is no such outcome.", hint=f"Choose among: {', '.join(OUTCOMES)}.")
    if before and not (before.isascii() and before.isdigit() and 0 < int(before) <= _MOST_NUMBER):
        raise Refused("There is no such page.", hint="Begin again with the newest rows.")
    texts = {key: fields[key] for key in ("actor", "action", "target", "outcome")}
    wanted = Filter(
        **texts, since=_moment(fields["since"], "From"), until=_moment(fields["until"], "To")
    )
    return _Asked(fields, wanted, int(before) if before else None)


@area.page("GET", "/admin/audit", needs=_READ)
async def trail(visit: CurrentVisit) -> Response:
    """Search the trail."""
    asked = _asked(visit)
    async with visit.portal.database.reading() as session:
        found = await audit_search.search(
            session, asked.wanted, limit=_PAGE + 1, before=asked.before
        )
        actions = await audit_search.actions(session)
        head = await audit.head(session)
    rows = found[:_PAGE]
    return await page(
        visit,
        "audit.html",
        rows=rows,
        older=asked.address(rows[-1].seq) if len(found) > _PAGE else "",
        newest=asked.address(),
        asked=asked,
        actions=actions,
        outcomes=OUTCOMES,
        head=head,
    )


@area.page("GET", "/admin/audit/{seq}", needs=_READ)
async def row(visit: CurrentVisit, seq: Number) -> Response:
    """One row with its place in the chain."""
    return await page(visit, "audit_row.html", row=await _one(visit, seq))


@area.page("POST", "/admin/audit/check", needs=_READ)
async def check(visit: CurrentVisit) -> Response:
    """Check the next piece of the chain; the answer asks for the one after by itself."""
    form = await form_of(visit)
    kept = audit_checks.opened(visit.portal, form.one("place"))
    reached, total = await audit_checks.check_piece(visit.portal, kept)
    if isinstance(reached, Report):
        await audit_checks.note(visit.portal, visit.actor.name, reached)
    else:
        progress: dict[str, Any] = {
            "place": audit_checks.sealed(visit.portal, reached),
            "checked": reached.seq,
            "total": total,
        }
        if visit.htmx:
            return fragment(visit, "parts/audit_progress.html", **progress)
        reached = await audit_checks.check_all(visit.portal, visit.actor.name)
    values: dict[str, Any] = {"report": reached, "head": await _head(visit)}
    if visit.htmx:
        return fragment(visit, "parts/audit_report.html", **values)
    return await page(visit, "audit_check.html", **values)


async def _head(visit: Visit) -> audit.Head:
    async with visit.portal.database.reading() as session:
        return await audit.head(session)
