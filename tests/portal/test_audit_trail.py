"""The audit trail in the portal: search, one row, export, and the check of the chain."""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from petrihub_core import audit, audit_heads
from petrihub_core.audit_heads import HeadsFile
from petrihub_core.audit_search import Filter, actions, csv_lines, json_lines, search
from petrihub_core.database import Database
from petrihub_core.records import AuditRow, now

from tests.portal.conftest import AddPerson
from tests.portal.guests import Guest, Site

MANUAL = Path(__file__).parents[2] / "docs/how-to/audit.md"


async def write(database: Database, *rows: dict[str, object]) -> None:
    async with database.session() as session:
        for row in rows:
            given = {"actor": "ada", "action": "test.made", "target": "t", **row}
            await audit.record(session, **given)  # type: ignore[arg-type]


async def found(database: Database, **wanted: object) -> list[str]:
    async with database.reading() as session:
        rows = await search(session, Filter(**wanted), limit=50)  # type: ignore[arg-type]
    return [row.target for row in rows]


async def test_each_field_of_the_search_filters_and_the_newest_comes_first(
    database: Database,
) -> None:
    await write(
        database,
        {"target": "one", "actor": "bea"},
        {"target": "two 100%", "action": "person.made"},
        {"target": "three", "outcome": "refused", "action": "person.left"},
        {"target": "four", "action": "personal"},
    )
    assert await found(database) == ["four", "three", "two 100%", "one"]
    assert await found(database, actor="bea") == ["one"]
    assert await found(database, action="person.") == ["three", "two 100%"]
    assert await found(database, action="personal") == ["four"]
    assert await found(database, target="0%") == ["two 100%"]
    assert await found(database, target="_") == []
    assert await found(database, outcome="refused") == ["three"]
    assert await found(database, until=now() - timedelta(hours=1)) == []
    assert len(await found(database, since=now() - timedelta(hours=1))) == 4
    async with database.reading() as session:
        assert await actions(session) == ["person.left", "person.made", "personal", "test.made"]


async def test_pages_follow_each_other_without_a_gap(
    guest: Guest, boss: Guest, tables: Database
) -> None:
    await write(tables, *({"target": f"n{number}", "actor": guest.name} for number in range(7)))
    seen: list[str] = []
    before = ""
    while True:
        answer = boss.get(f"api/v1/audit?actor={guest.name}&limit=3{before}").json()
        seen += [row["target"] for row in answer["rows"]]
        if answer["next"] is None:
            break
        before = f"&before={answer['next']}"
    assert seen == [f"n{number}" for number in (6, 5, 4, 3, 2, 1, 0)]


async def test_a_hostile_name_is_one_bounded_line_everywhere(
    guest: Guest, boss: Guest, tables: Database
) -> None:
    hostile = '\n\x1b[31m","x":"\u202e\x00\ud800' + "x" * 10**6
    await write(tables, {"actor": guest.name, "target": hostile, "detail": {"name": hostile}})
    row = boss.get(f"api/v1/audit?actor={guest.name}").json()["rows"][0]
    for value in (row["target"], row["detail"]["name"]):
        assert value.isprintable()
        assert len(value) <= 160
        assert value.startswith("\\n\\x1b[31m")
        assert value.endswith("…")
    exported = boss.get(f"api/v1/audit/export?actor={guest.name}").text
    assert exported.count("\n") == 1
    assert exported.isascii()
    assert json.loads(exported)["target"] == row["target"]
    page = boss.get(f"admin/audit?actor={guest.name}")
    assert page.status_code == 200
    assert "\x1b" not in page.text


async def test_a_cell_that_looks_like_a_formula_is_defused(
    guest: Guest, boss: Guest, tables: Database
) -> None:
    await write(tables, {"actor": guest.name, "target": '=HYPERLINK("http://evil")'})
    answer = boss.get(f"api/v1/audit/export?format=csv&actor={guest.name}")
    assert answer.headers["content-type"].startswith("text/csv")
    head, line = csv.reader(io.StringIO(answer.text))
    assert dict(zip(head, line, strict=True))["target"] == '\'=HYPERLINK("http://evil")'


async def test_an_export_is_whole_and_the_manual_s_script_verifies_it(
    database: Database, tmp_path: Path
) -> None:
    await write(database, *({"target": f"n{n}", "detail": {"n": n}} for n in range(2500)))
    pieces = [piece async for piece in json_lines(database, Filter())]
    assert len(pieces) == 3  # never the whole in memory
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(pieces))
    script = re.search(r"```python\n(.*?)```", MANUAL.read_text(), re.S)
    assert script

    def verdict() -> str:
        command = [sys.executable, "-c", script[1], str(file)]
        return subprocess.run(command, capture_output=True, text=True).stdout

    async with database.reading() as session:
        head = await audit.head(session)
    assert verdict() == f"whole: 2500 rows, newest {head.digest}\n"
    lines = file.read_text().split("\n")
    lines[1000] = lines[1000].replace('"actor": "ada"', '"actor": "eve"')
    file.write_text("\n".join(lines))
    assert verdict() == "row 1001 does not fit\n"
    sheet = b"".join([piece async for piece in csv_lines(database, Filter(target="none"))])
    assert sheet == b"seq,at,actor,action,target,outcome,detail,previous,digest\r\n"


async def test_a_slow_export_makes_no_writer_wait(database: Database) -> None:
    await write(database, *({"target": f"n{number}"} for number in range(1200)))
    pieces = json_lines(database, Filter())
    await anext(pieces)
    await write(database, {"target": "while it is read"})
    rest = b"".join([piece async for piece in pieces])
    assert b"while it is read" not in rest  # what came later is not part of it


async def test_a_cut_tail_and_a_remade_chain_show_against_the_kept_heads(
    database: Database, tmp_path: Path
) -> None:
    file = HeadsFile(tmp_path / "heads.jsonl")
    for number in range(3):
        await write(database, {"target": f"n{number}"}, {"target": "more"})
        await audit_heads.keep_newest(database, file)
    with file.path.open("a") as torn:
        torn.write('{"at": "20')  # a crash in the middle of a line
    await write(database, {"target": "last"})
    await audit_heads.keep_newest(database, file)
    heads = file.all()
    assert [head.seq for head in heads] == [2, 4, 6, 7]
    async with database.session() as session:
        assert await audit_heads.check(session, heads) is None
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.seq))).all()
        # somebody with the database alone changes row 5 and makes all digests anew
        rows[4].actor = "eve"
        for previous, row in pairwise(rows):
            row.previous = previous.digest
            row.digest = audit._digest(row)
        await session.flush()
        assert await audit.verify(session) is None
        flaw = await audit_heads.check(session, heads)
        assert flaw is not None
        assert flaw.seq == 6
        await session.delete(rows[6])
        await session.flush()
        cut = await audit_heads.check(session, heads[3:])
        assert cut is not None
        assert "ends at number 6" in cut.why


async def test_a_clock_that_was_set_back_is_told(database: Database) -> None:
    await write(database, {}, {}, {})
    async with database.session() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.seq))).all()
        rows[1].at -= timedelta(days=1)
        for previous, row in pairwise(rows):
            row.previous = previous.digest
            row.digest = audit._digest(row)
        await session.flush()
        place = await audit.verify_step(session, audit.Place())
    assert isinstance(place, audit.Place)
    assert place.turned_back == 2


async def test_the_button_checks_piece_by_piece_and_names_the_first_bad_row(
    boss: Guest, tables: Database, site: Site
) -> None:
    boss.sign_in()
    async with tables.session() as session:
        head = await audit.head(session)
    missing = 6000 - head.seq
    await write(tables, *({"target": f"f{number}"} for number in range(max(missing, 1))))
    htmx = {"HX-Request": "true", "X-XSRFToken": boss.xsrf}
    where = "/services/portal/admin/audit/check"
    first = boss.client.post(where, headers=htmx)
    place = re.search(r'name="place" value="([^"]+)"', first.text)
    assert place, first.text
    assert "5,000 of" in first.text
    last = boss.client.post(where, headers=htmx, data={"place": place[1]})
    assert "The chain is whole" in last.text
    assert "kept outside the database" in last.text
    assert boss.post("admin/audit/check").text.count("The chain is whole") == 1

    async with tables.session() as session:
        row = await session.get_one(AuditRow, 5500)
        was = row.actor
        row.actor = "eve"
    try:
        report = boss.api("POST", "audit/check").json()
        assert (report["flawed"], report["why"]) == (5500, "Its content is not what was written.")
        assert "Row 5500 does not fit" in boss.post("admin/audit/check").text
        async with tables.reading() as session:
            noted = await search(session, Filter(action="audit.checked", actor=boss.name), limit=1)
        assert noted[0].outcome == "failed"
    finally:
        async with tables.session() as session:
            await session.execute(update(AuditRow).where(AuditRow.seq == 5500).values(actor=was))


async def test_the_portal_keeps_heads_by_itself(boss: Guest, site: Site, tables: Database) -> None:
    file = site.deployment.state / "audit-heads.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    head = boss.get("api/v1/audit/head").json()
    assert len(head["digest"]) == 64
    async with tables.reading() as session:
        assert await audit_heads.check(session, HeadsFile(file).all()) is None


async def test_only_who_may_read_the_audit_finds_it(
    guest: Guest, add_person: AddPerson, tables: Database
) -> None:
    auditor = await add_person("auditor")
    assert auditor.get("admin/audit").status_code == 200
    assert guest.get("admin/audit").status_code == 403
    rows = auditor.get(f"api/v1/audit?action=portal.refused&actor={guest.name}").json()["rows"]
    assert [row["target"] for row in rows] == ["GET /services/portal/admin/audit"]
    assert auditor.get(f"admin/audit/{rows[0]['seq']}").status_code == 200
    assert auditor.get("admin/audit/999999999").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "since=soon",
        "before=-1",
        "outcome=maybe",
        "before=99999999999",
        "since=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_search_that_cannot_be_read_is_refused_in_words(boss: Guest, query: str) -> None:
    assert boss.get(f"admin/audit?{query}").status_code == 400
    assert boss.get(f"api/v1/audit?{query}").status_code == 422 or query.startswith("since=0001")


async def test_the_first_page_of_a_search_of_many_rows_is_fast(database: Database) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    at = now()
    async with database.session() as session:
        await session.run_sync(
            lambda sync: sync.bulk_insert_mappings(
                AuditRow.__mapper__,
                [
                    {
                        "seq": n,
                        "at": at,
                        "actor": f"p{n % 5000}",
                        "action": f"a{n % 40}",
                        "target": f"t{n}",
                        "outcome": "ok",
                        "detail": {},
                        "previous": digest,
                        "digest": digest,
                    }
                    for n in range(1, 20001)
                ],
            )
        )
    async with database.reading() as session:
        for wanted in (Filter(), Filter(actor="p7"), Filter(action="a3"), Filter(since=at)):
            began = now()
            rows = await search(session, wanted, limit=50)
            assert rows
            assert (now() - began).total_seconds() < 2
        assert await session.scalar(select(func.count()).select_from(AuditRow)) == 20000
