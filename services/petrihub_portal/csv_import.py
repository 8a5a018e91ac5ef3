"""A list of people from a spreadsheet: read, judged row by row, then taken as a whole or not.

Files as spreadsheets write them: with or without a byte order mark, separated by commas, semicolons
or tabs, any line ends. What we write ourselves never holds a cell that a spreadsheet would run.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_authenticators import accounts, links
from petrihub_authenticators.links import Brings, Kind
from petrihub_core import audit
from petrihub_core.audit import Event
from petrihub_core.errors import Conflict, PetriHubError, Refused
from petrihub_core.names import new_username
from petrihub_core.people import LOCAL_ISSUER
from petrihub_core.records import Group, GroupMember, Person, Record, RoleGrant, SignInLink, new_id
from petrihub_core.roles import (
    RESEARCHER,
    ROLES,
    Actor,
    Permission,
    in_line,
    require_grantable,
)

MOST_ROWS = 5_000
MOST_BYTES = 1024 * 1024
COLUMNS = ("name", "email", "role", "groups")
_LONGEST_CELL = 1000  # characters
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One person of the list; `line` is where it stands in the file, from 1."""

    line: int
    name: str = ""
    email: str = ""
    role: str = RESEARCHER
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A row and what is wrong with it; empty if it can be taken."""

    row: Row
    problem: str = ""

    @property
    def outcome(self) -> str:
        """What will happen, in words."""
        if self.problem:
            return self.problem
        if self.row.name:
            return "The account is made, with an invitation link."
        return "An invitation link is made; they choose a name."


@dataclass(frozen=True)
class Issued:
    """What came of a row: the code of its invitation."""

    row: Row
    code: str


def read(data: bytes) -> list[Row]:
    """The rows of the file; raises `Refused` if it is no such list at all."""
    if len(data) > MOST_BYTES:
        raise Refused("The file is larger than 1 MiB.", hint="Split it in several files.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Refused(
            "The file is not text in UTF-8.", hint="In a spreadsheet, save it as CSV UTF-8."
        ) from exc
    if "\0" in text:
        raise Refused("The file is not text.", hint="In a spreadsheet, save it as CSV UTF-8.")
    heading = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(",;\t", key=heading.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    names: list[str] = []
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _columns(cells)
            else:
                rows.append(_row(names, cells, lines.line_num))
            if len(rows) > MOST_ROWS:
                raise Refused(
                    f"The list has more than {MOST_ROWS:,} people.", hint="Split it in several."
                )
    except csv.Error as exc:
        raise Refused(
            f"Line {lines.line_num} cannot be read.", hint="Look for a quotation mark too many."
        ) from exc
    if not rows:
        raise Refused(
            "There is nobody in this list.",
            hint=f"The first line names the columns ({', '.join(COLUMNS)}), then a person a line.",
        )
    return rows


def _columns(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower().replace("e-mail", "email") for cell in cells]
    while names and not names[-1]:
        names.pop()
    for name in names:
        if name not in COLUMNS:
            raise Refused(
                f"There is no column {name[:32]!r}.", hint=f"The columns are {', '.join(COLUMNS)}."
            )
    if len(set(names)) != len(names) or not {"name", "email"} & set(names):
        raise Refused(
            "The first line must name each column once, with name or email among them.",
            hint=f"The columns are {', '.join(COLUMNS)}.",
        )
    return names


def _row(names: Sequence[str], cells: Sequence[str], line: int) -> Row:
    if any(cell.strip() for cell in cells[len(names) :]):
        raise Refused(
            f"Line {line} has more cells than the first line.",
            hint="Put several groups in one cell, with a space between them.",
        )
    fields = {name: cell.strip()[:_LONGEST_CELL] for name, cell in zip(names, cells, strict=False)}
    role = fields.get("role", "").lower().replace(" ", "-")
    groups = tuple(each for each in re.split(r"[\s,;|]+", fields.get("groups", "")) if each)
    return Row(
        line=line,
        name=fields.get("name", ""),
        email=fields.get("email", ""),
        role=role or RESEARCHER,
        groups=tuple(dict.fromkeys(group.lower() for group in groups)),
    )


@dataclass(frozen=True)
class _Known:
    names: set[str]
    invited: set[str]
    groups: dict[str, str]  # id by name


async def _look(session: AsyncSession) -> _Known:
    open_links = await session.scalars(
        links.open_invitations().with_only_columns(SignInLink.email).order_by(None)
    )
    groups = await session.execute(select(Group.name, Group.id))
    return _Known(
        set(await session.scalars(select(Person.username))),
        {email for email in open_links if email},
        {row.name: row.id for row in groups},
    )


async def judge(session: AsyncSession, actor: Actor, rows: Iterable[Row]) -> list[Judged]:
    """What would become of each row, as of now; changes nothing."""
    known = await _look(session)
    judged = []
    seen: dict[str, int] = {}
    for row in rows:
        try:
            checked = _checked(row, actor, known)
            key = checked.name or checked.email
            if key in seen:
                raise Conflict(f"The same person stands in line {seen[key]} already.")
            seen[key] = row.line
        except PetriHubError as exc:
            judged.append(Judged(row, exc.jupyterhub_message))
        else:
            judged.append(Judged(checked))
    return judged


def _checked(row: Row, actor: Actor, known: _Known) -> Row:
    """The row in its normal form; raises with what is wrong."""
    email = accounts.checked_email(row.email) or ""
    if not row.name and not email:
        raise Refused("There is neither a name nor an e-mail address.")
    name = new_username(row.name) if row.name else ""
    if name in known.names:
        raise Conflict(f"There is already somebody with the name {name!r}.")
    if not name and email in known.invited:
        raise Conflict("An invitation for this address is open already.", hint="Withdraw it first.")
    if row.role != RESEARCHER:
        actor.require(Permission.ROLES_WRITE)
        require_grantable(actor, [row.role])
    if row.groups:
        actor.require(Permission.GROUPS_WRITE)
    for group in row.groups:
        if group not in known.groups:
            raise Refused(f"There is no group {group[:32]!r}.", hint="Make the group first.")
    return Row(line=row.line, name=name, email=email, role=row.role, groups=row.groups)


async def apply(session: AsyncSession, actor: Actor, rows: Sequence[Row]) -> list[Issued]:
    """Take the whole list in the caller's transaction, or raise and take nobody."""
    actor = await in_line(session, actor)
    actor.require(Permission.PEOPLE_WRITE)
    await accounts.require_room(session, actor, len(rows))
    judged = await judge(session, actor, rows)
    wrong = [each for each in judged if each.problem]
    if wrong:
        raise Conflict(
            f"{len(wrong)} of {len(rows)} rows cannot be taken, so nobody was added. "
            f"The first is line {wrong[0].row.line}: {wrong[0].problem}",
            hint="Mend the file, then upload it again.",
        )
    known = await _look(session)
    issued: list[Issued] = []
    events: list[Event] = []
    people: list[Person] = []
    rest: list[Record] = []
    for each in judged:
        row = each.row
        group_ids = tuple(known.groups[group] for group in row.groups)
        brings = Brings(role=row.role, email=row.email or None, groups=group_ids)
        code, link = links.new(Kind.INVITE, by=actor.name, username=row.name or None, brings=brings)
        if row.name:
            person = Person(
                issuer=LOCAL_ISSUER, subject=new_id(), username=row.name, email=row.email or None
            )
            people.append(person)
            rest.extend(_held(actor, row, person, group_ids))
        rest.append(link)
        detail = {"link": link.id, "role": row.role, "groups": ", ".join(row.groups)}
        action = "account.made" if row.name else "link.invite.made"
        events.append(Event(action, row.name or link.id, {**detail, "line": row.line}))
        issued.append(Issued(row, code))
    session.add_all(people)
    await session.flush()  # what points at the people comes after them
    session.add_all(rest)
    await session.flush()
    await audit.record_all(session, actor=actor.name, events=events)
    return issued


def _held(
    actor: Actor, row: Row, person: Person, group_ids: Sequence[str]
) -> Iterator[RoleGrant | GroupMember]:
    if row.role in ROLES:
        yield RoleGrant(person_id=person.id, role=row.role, granted_by=actor.name)
    for group_id in group_ids:
        yield GroupMember(group_id=group_id, person_id=person.id)


def write_links(issued: Iterable[Issued], public_url: str) -> str:
    """The invitation links as a file for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("name", "email", "link"))
    for each in issued:
        link = links.address_of(public_url, each.code)
        writer.writerow(map(_harmless, (each.row.name, each.row.email, link)))
    return out.getvalue()


def _harmless(cell: str) -> str:
    # a spreadsheet runs what begins like a formula; the apostrophe makes it text
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
