"""People, roles, invitations and lists of people at the portal, with a hub that really runs."""

import asyncio
import time
from collections.abc import Callable
from statistics import median

import httpx
import pytest
from sqlalchemy import select, update

from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.records import AuditRow, Person, RoleGrant

from tests.portal.guests import API, Guest, Site

PEOPLE = "admin/people"


async def until(holds: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - another process changes it, there is no event here
            await asyncio.sleep(0.2)


def script_with(site: Site, token: str) -> Callable[[str, str], httpx.Response]:
    """Calls (method, path) of a script that has only this token."""
    headers = {"Authorization": f"token {token}"}
    return httpx.Client(base_url=site.url, headers=headers, trust_env=False, timeout=60).request


def test_a_researcher_sees_none_of_it(guest: Guest) -> None:
    for path in ("admin", PEOPLE, f"{PEOPLE}/{guest.name}", "admin/groups", "admin/people-import"):
        assert guest.get(path).status_code == 403, path
    assert guest.api("GET", "people").status_code == 403
    assert guest.api("POST", "people", {"name": "eve"}).status_code == 403
    assert guest.api("PUT", f"people/{guest.name}/roles", {"roles": ["super-admin"]}).is_error


async def test_the_list_finds_people_by_name_role_group_and_state(
    boss: Guest, add_person, tables: Database
) -> None:
    eyes = await add_person("auditor")
    assert eyes.name in boss.get(f"{PEOPLE}?search={eyes.name[3:]}").text
    found = boss.api("GET", f"people?search={eyes.name}&role=auditor&state=active").json()
    assert (found["total"], found["items"][0]["roles"]) == (1, ["auditor"])
    for query in ("role=researcher", "role=super-admin", "state=deactivated", "group=nothing"):
        found = boss.api("GET", f"people?search={eyes.name}&{query}").json()
        assert found["total"] == 0, query
    assert "Nobody fits" in boss.get(f"{PEOPLE}?search=%25").text, "a percent sign is only text"
    assert boss.api("GET", "people?limit=1000").status_code == 422


def test_an_invitation_is_shown_once_and_can_be_withdrawn(boss: Guest) -> None:
    made = boss.post(PEOPLE, {"email": f"{boss.name}@lab.example", "role": "auditor"})
    assert made.status_code == 303, made.text
    page = boss.get(PEOPLE).text
    assert "/hub/welcome#" in page
    assert "/hub/welcome#" not in boss.get(PEOPLE).text, "only once"
    mine = [
        each
        for each in boss.api("GET", "invitations?limit=200").json()["items"]
        if each["created_by"] == boss.name
    ]
    assert [each["role"] for each in mine] == ["auditor"]
    assert boss.post(f"admin/invitations/{mine[0]['id']}/withdraw").status_code == 303
    assert boss.post(f"admin/invitations/{mine[0]['id']}/withdraw").status_code == 404


@pytest.mark.parametrize("name", ["admin", "..", "hub", "con"])
def test_kept_names_are_given_to_nobody(boss: Guest, name: str) -> None:
    refused = boss.api("POST", "people", {"name": name})
    assert refused.status_code == 400
    assert refused.json()["hint"]
    assert boss.post(PEOPLE, {"name": name}).status_code == 400
    renamed = boss.api("PATCH", f"people/{boss.name}", {"name": name})
    assert renamed.status_code == 422, "there is no renaming at all"


async def test_nobody_promotes_themselves_or_reaches_upwards(
    boss: Guest, add_person, tables: Database
) -> None:
    small = await add_person("user-admin")
    for role in ("super-admin", "technical-admin", "auditor"):
        refused = small.api("PUT", f"people/{small.name}/roles", {"roles": ["user-admin", role]})
        assert refused.status_code == 403
        assert small.post(PEOPLE, {"name": "eve", "role": role}).status_code == 403
    small.post(f"{PEOPLE}/{small.name}/roles", {"roles": ["super-admin", "user-admin"]})
    page = small.get(f"{PEOPLE}/{small.name}").text
    assert "It holds more than you do" in page
    for deed in ("link", "deactivate", "activate"):
        assert small.api("POST", f"people/{boss.name}/{deed}").status_code == 403
    async with tables.reading() as session:
        held = select(RoleGrant.role).where(RoleGrant.person_id == small.person_id)
        assert list(await session.scalars(held)) == ["user-admin"]


async def test_ticked_boxes_are_the_roles_and_count_at_once(boss: Guest, add_person) -> None:
    ada = await add_person()
    assert ada.get("admin").status_code == 403
    saved = boss.post(f"{PEOPLE}/{ada.name}/roles", {"roles": ["auditor", "content-admin"]})
    assert saved.status_code == 303
    assert ada.get("admin").status_code == 200
    assert boss.post(f"{PEOPLE}/{ada.name}/roles", {}).status_code == 303
    assert ada.get("admin").status_code == 403
    assert boss.post(f"{PEOPLE}/{boss.name}/deactivate").status_code == 409


async def test_a_new_password_link_and_an_address(boss: Guest, guest: Guest) -> None:
    answer = boss.api("POST", f"people/{guest.name}/link")
    assert answer.status_code == 201
    assert answer.json()["link"].startswith(f"{boss.site.url}/hub/welcome#")
    assert boss.post(f"{PEOPLE}/{guest.name}/email", {"email": "no"}).status_code == 400
    assert boss.post(f"{PEOPLE}/{guest.name}/email", {"email": "a@lab.example"}).status_code == 303
    assert boss.api("GET", f"people/{guest.name}").json()["email"] == "a@lab.example"
    assert boss.api("GET", "people/nobody-here").status_code == 404


async def test_deactivating_ends_page_token_and_workspace_within_a_minute(
    boss: Guest, guest: Guest, tables: Database
) -> None:
    wish = {"note": "nightly", "scopes": ["own:open"], "days": 1}
    script = script_with(guest.site, guest.api("POST", "tokens", wish).json()["token"])
    guest.client.get("/hub/spawn")  # a page of the hub, which keeps its own token in a cookie
    headers = {"X-XSRFToken": guest.client.cookies.get("_xsrf", path="/hub/") or ""}
    server = f"/hub/api/users/{guest.name}/servers/one"
    assert script("POST", server).status_code == 403, "it opens what runs, and starts nothing"
    started = guest.client.post(server, headers=headers)
    assert started.status_code in (201, 202), started.text

    def ready() -> bool:
        model = guest.client.get(f"/hub/api/users/{guest.name}", headers=headers)
        servers = model.json()["servers"]
        return bool(servers and servers["one"]["ready"])

    await until(ready)
    workspace = f"/user/{guest.name}/one/api/status"
    assert script("GET", workspace).status_code == 200
    assert script("GET", f"{API}/me").status_code == 403, "not one of its scopes"
    begun = time.monotonic()
    assert boss.post(f"{PEOPLE}/{guest.name}/deactivate").status_code == 303
    assert guest.client.get(f"{API}/me").status_code == 401
    assert script("GET", "/hub/api/user").status_code == 403
    await until(lambda: not script("GET", workspace).is_success)
    assert time.monotonic() - begun < 60
    async with tables.reading() as session:
        person = await session.get_one(Person, guest.person_id)
        assert (person.active, person.sessions_to_end) == (False, False)
        starts = select(AuditRow.target).where(
            AuditRow.actor == guest.name, AuditRow.action == "workspace.start"
        )
        assert list(await session.scalars(starts)) == [f"{guest.name}/one"]
        assert await audit.verify(session) is None
    assert boss.post(f"{PEOPLE}/{guest.name}/activate").status_code == 303
    assert guest.client.get(f"{API}/me").status_code == 401, "the old page stays out"


async def test_an_ending_that_was_missed_is_made_up_for(guest: Guest, tables: Database) -> None:
    """As if the hub had not answered when somebody was deactivated."""
    guest.get("/")
    async with tables.session() as session:
        await session.execute(
            update(Person)
            .where(Person.id == guest.person_id)
            .values(active=False, sessions_to_end=True)
        )
    async with asyncio.timeout(60):
        while True:
            async with tables.reading() as session:
                if not (await session.get_one(Person, guest.person_id)).sessions_to_end:
                    break
            await asyncio.sleep(0.5)


class TestImport:
    """Lists as spreadsheets write them."""

    def test_a_list_is_shown_then_taken_as_a_whole(self, boss: Guest) -> None:
        tag = boss.name
        text = (
            "\ufeffName;E-Mail;Role;Groups\r\n"
            f"{tag}-a;{tag}@a.example;;\r\n\r\n"
            f";{tag}@b.example;Auditor;\r\n"
        )
        file = {"file": ("people.csv", text.encode(), "text/csv")}
        seen = boss.send("POST", "admin/people-import", files=file)
        assert seen.status_code == 200, seen.text
        assert "Add all 2 people" in seen.text
        assert boss.api("GET", f"people/{tag}-a").status_code == 404, "nothing happened yet"
        done = boss.post("admin/people-import/apply", {"content": text})
        assert "2 people are invited" in done.text
        assert boss.api("GET", f"people/{tag}-a").json()["state"] == "invited"
        again = boss.post("admin/people-import/apply", {"content": text})
        assert again.status_code == 409
        assert "nobody was added" in again.text

    async def test_one_wrong_row_and_nobody_is_added(self, boss: Guest, tables: Database) -> None:
        tag = boss.name
        text = (
            f"name,email,role,groups\n{tag}-x,,,\nadmin,,,\n{tag}-y,,owner,\n{tag}-x,,,none\n,,,\n"
        )
        judged = boss.api("POST", "people/import", {"csv": text}).json()
        assert [(row["line"], bool(row["problem"])) for row in judged["rows"]] == [
            (2, False),
            (3, True),
            (4, True),
            (5, True),
        ]
        refused = boss.api("POST", "people/import", {"csv": text, "apply": True})
        assert refused.status_code == 409
        assert "line 3" in refused.json()["detail"]
        async with tables.reading() as session:
            query = select(Person.id).where(Person.username.startswith(tag + "-"))
            assert list(await session.scalars(query)) == []

    @pytest.mark.parametrize(
        "text",
        ["", "name\n", "nonsense,columns\na,b\n", 'name,email\n"ada,x\n', "name,name\na,b\n", "\0"],
    )
    def test_what_is_no_list_is_refused_in_words(self, boss: Guest, text: str) -> None:
        refused = boss.api("POST", "people/import", {"csv": text, "apply": True})
        assert refused.status_code == 400
        assert refused.json()["hint"]

    async def test_five_thousand_people_then_the_list_is_still_quick(
        self, boss: Guest, tables: Database
    ) -> None:
        tag = boss.name
        lines = [f"{tag}-{number},{number}@x.example,," for number in range(5000)]
        text = "\n".join(["name,email,role,groups", *lines])
        begun = time.monotonic()
        answer = boss.api("POST", "people/import", {"csv": text, "apply": True})
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - begun < 60
        assert len({row["link"] for row in answer.json()["rows"]}) == 5000
        took = []
        for number in range(1, 12):
            begun = time.monotonic()
            assert boss.get(f"{PEOPLE}?page={number}").status_code == 200
            took.append(time.monotonic() - begun)
        assert median(took) < 1, "less than 0.1 s on an idle machine; others compute here too"
        async with tables.reading() as session:
            assert await audit.verify(session) is None
            made = select(AuditRow.seq).where(AuditRow.actor == tag)
            assert list(await session.scalars(made.where(AuditRow.action == "account.made")))


async def test_a_formula_never_leaves_in_our_file() -> None:
    from petrihub_portal.csv_import import Issued, Row, write_links

    row = Row(line=2, name="ada", email='=HYPERLINK("x")@y.z')
    assert "'=HYPERLINK" in write_links([Issued(row, "code")], "https://hub.example")
