"""The pages for administrators, over HTTP, with workspaces that really run."""

import asyncio
import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from petrihub_authenticators.pages.people import DEEDS
from petrihub_authenticators.pages.routes import page_routes
from petrihub_core import audit
from petrihub_core.database import Database
from petrihub_core.records import AuditRow

PASSWORD = "correct zebra paper clip"
CHANGES = [
    "people/add",
    f"people/invitations/{'0' * 32}/withdraw",
    *(f"people/person/boss/{deed}" for deed in DEEDS),
]


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - another process changes it, there is no event here
        await asyncio.sleep(0.1)


def told(page: str) -> str:
    found = re.search(r'ph-flash-bad" role="alert">.*?<div>(.*?)</div>', page, re.DOTALL)
    return found[1].strip() if found else ""


def test_the_list_of_changes_below_is_the_route_table() -> None:
    patterns = [re.compile(f"{route[0]}$") for route in page_routes()]
    for path in CHANGES:
        assert any(pattern.fullmatch(f"/{path}") for pattern in patterns), path
    public = {"/login", "/welcome", "/petrihub/sign-in/static/(.+)"}
    assert {route[0] for route in page_routes() if not route[0].startswith("/people")} == public


async def test_nobody_is_sent_to_the_sign_in_page(visitor) -> None:
    answer = visitor.get("people")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/hub/login?next=%2Fhub%2Fpeople"
    visitor.get("login")
    for path in CHANGES:
        token = visitor.client.cookies["_xsrf"]
        assert visitor.client.post(f"/hub/{path}", data={"_xsrf": token}).status_code == 403


async def test_a_researcher_is_refused_everywhere_and_it_is_written_down(
    visitor, researcher: str, tables: Database
) -> None:
    visitor.sign_in(researcher)
    page = visitor.get("people")
    assert page.status_code == 403
    assert "Only administrators" in page.text
    token = re.search(r'data-xsrf="([^"]*)"', visitor.get("home").text)
    xsrf = visitor.client.cookies["_xsrf"] if not token or not token[1] else token[1]
    for path in CHANGES:
        answer = visitor.client.post(f"/hub/{path}", data={"_xsrf": xsrf})
        assert answer.status_code == 403, path
        assert "Only administrators" in answer.text, path
    async with tables.session() as session:
        rows = list(
            await session.scalars(
                select(AuditRow).where(
                    AuditRow.actor == researcher, AuditRow.action == "people.page"
                )
            )
        )
        assert [row.outcome for row in rows] == ["refused"] * (1 + len(CHANGES))
        assert await audit.verify(session) is None


@pytest.mark.parametrize("path", CHANGES)
async def test_every_change_needs_its_token(hub, at_admin, researcher: str, path: str) -> None:
    path = path.replace("boss", researcher)
    for headers in (
        {},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
        {"X-HTTP-Method-Override": "GET"},
    ):
        answer = at_admin.client.post(f"/hub/{path}", headers=headers, data={"role": "admin"})
        assert answer.status_code == 403, headers
    stranger = hub.visitor()
    stranger.sign_in(researcher)
    other = stranger.client.cookies["_xsrf"]
    assert at_admin.client.post(f"/hub/{path}", data={"_xsrf": other}).status_code == 403
    assert hub.visitor().sign_in(researcher).status_code == 303, "nothing happened to them"


async def test_looking_changes_nothing(at_admin, researcher: str) -> None:
    for deed in DEEDS:
        answer = at_admin.get(f"people/person/{researcher}/{deed}")
        assert answer.status_code == 200
    page = at_admin.get(f"people/person/{researcher}").text
    assert "Researcher since" in page
    assert ">Active<" in page


async def test_a_one_time_link_is_shown_once(at_admin) -> None:
    assert at_admin.link("people/add", {"username": "", "role": "researcher"})
    assert "one-time-link" not in at_admin.get("people").text


async def test_somebody_elses_notice_is_not_shown(hub, at_admin, tables, add_person) -> None:
    made = at_admin.post("people/add", {"username": "", "role": "admin"}, page="people")
    assert made.status_code == 303
    other = hub.visitor()
    other.sign_in(await add_person(tables, role="admin"))
    other.client.cookies.set(
        "petrihub-notice", at_admin.client.cookies["petrihub-notice"], path="/hub/"
    )
    assert "one-time-link" not in other.get("people").text
    assert "one-time-link" in at_admin.get("people").text


async def test_an_open_invitation_can_be_withdrawn(hub, at_admin, admin: str) -> None:
    code = at_admin.link("people/add", {"username": "", "role": "researcher"})
    page = at_admin.get("people").text
    mine = [
        row
        for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
        if "withdraw" in row and admin in row
    ]
    assert len(mine) == 1
    link_id = re.search(r"invitations/([0-9a-f]{32})/withdraw", mine[0])
    assert link_id
    done = at_admin.post(f"people/invitations/{link_id[1]}/withdraw", {}, page="people")
    assert done.status_code == 303
    refused = hub.visitor().post("welcome", {"step": "look", "code": code})
    assert refused.status_code == 409
    assert "withdrawn" in told(refused.text)
    twice = at_admin.post(f"people/invitations/{link_id[1]}/withdraw", {}, page="people")
    assert twice.status_code == 404
    assert "not open any more" in told(twice.text)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"username": "", "role": "owner"}, 400, "no such role"),
        ({"username": "", "role": ""}, 400, "no such role"),
        ({"username": "a b", "role": "researcher"}, 400, "not a usable name"),
        ({"username": "<script>", "role": "researcher"}, 400, "not a usable name"),
        ({"username": "x" * 100_000, "role": "researcher"}, 400, "not a usable name"),
    ],
)
async def test_wrong_forms_are_refused_in_words(
    at_admin, form: dict[str, str], status: int, words: str
) -> None:
    answer = at_admin.post("people/add", form, page="people")
    assert answer.status_code == status
    assert words in told(answer.text)
    assert "<script>" not in answer.text.replace("<script src", "")


async def test_a_person_who_exists_is_not_added_again(at_admin, researcher: str) -> None:
    answer = at_admin.post(
        "people/add", {"username": researcher.upper(), "role": "admin"}, page="people"
    )
    assert answer.status_code == 409
    assert "already somebody" in told(answer.text)


async def test_nobody_and_nothing_are_404(at_admin) -> None:
    assert at_admin.get("people/person/nobody-here").status_code == 404
    for path in (
        "people/person/../x",
        "people/person/A",
        "people/nothing",
        "people/person/x/rename",
    ):
        assert at_admin.get(path).status_code == 404, path


async def test_a_role_counts_at_once_in_both_directions(hub, at_admin, researcher: str) -> None:
    visitor = hub.visitor()
    visitor.sign_in(researcher)
    assert 'href="/hub/people"' not in visitor.get("home").text
    assert (
        at_admin.post(f"people/person/{researcher}/make-admin", {}, page="people")
        .headers["location"]
        .endswith(researcher)
    )
    assert 'href="/hub/people"' in visitor.get("home").text
    assert visitor.get("people").status_code == 200
    at_admin.post(f"people/person/{researcher}/remove-admin", {}, page="people")
    assert visitor.get("people").status_code == 403
    assert 'href="/hub/people"' not in visitor.get("home").text
    assert visitor.get("api/users").status_code == 403


async def test_nobody_deactivates_themselves(at_admin, admin: str) -> None:
    answer = at_admin.post(f"people/person/{admin}/deactivate", {}, page="people")
    assert answer.status_code == 409
    assert "cannot deactivate yourself" in told(answer.text)
    assert at_admin.who() == admin


class TestDeactivation:
    """A person with an open page, a token, a running workspace and one that is starting."""

    @pytest.fixture
    def page(self, hub, researcher: str):
        visitor = hub.visitor()
        visitor.sign_in(researcher)
        return visitor

    def api(self, page, method: str, path: str, **more):
        headers = {
            "X-XSRFToken": page.client.cookies["_xsrf"],
            "Referer": f"{page.hub.url}/hub/home",
        }
        return page.client.request(method, f"/hub/api/{path}", headers=headers, **more)

    def ready(self, at_admin, name: str) -> dict[str, bool]:
        answer = self.api(at_admin, "GET", f"users/{name}?include_stopped_servers=1")
        return {key: value["ready"] for key, value in answer.json()["servers"].items()}

    async def test_it_ends_pages_tokens_and_workspaces(
        self, hub, at_admin, page, researcher: str
    ) -> None:
        token = self.api(page, "POST", f"users/{researcher}/tokens", json={}).json()["token"]
        assert self.api(page, "POST", f"users/{researcher}/servers/one").status_code in (201, 202)
        await until(lambda: self.ready(at_admin, researcher).get("one"))
        at_admin.post(f"people/person/{researcher}/deactivate", {}, page="people")
        assert page.who() is None
        script = {"Authorization": f"token {token}"}
        assert hub.visitor().get("api/user", headers=script).status_code == 403
        await until(lambda: not self.ready(at_admin, researcher).get("one"))
        answer = hub.visitor().sign_in(researcher)
        assert answer.status_code == 403
        assert "deactivated" in told(answer.text)
        at_admin.post(f"people/person/{researcher}/activate", {}, page="people")
        assert hub.visitor().sign_in(researcher).status_code == 303
        assert page.who() is None, "the old page stays out"

    async def test_a_start_in_progress_is_stopped(
        self, hub, at_admin, page, researcher: str
    ) -> None:
        started = self.api(page, "POST", f"users/{researcher}/servers/never")
        assert started.status_code == 202
        done = at_admin.post(f"people/person/{researcher}/deactivate", {}, page="people")
        assert done.status_code == 303
        answer = self.api(at_admin, "GET", f"users/{researcher}?include_stopped_servers=1")
        server = answer.json()["servers"].get("never", {"pending": None, "ready": False})
        assert (server["pending"], server["ready"]) == (None, False)

    async def test_nobody_starts_something_in_their_name(
        self, hub, at_admin, page, researcher: str
    ) -> None:
        at_admin.post(f"people/person/{researcher}/deactivate", {}, page="people")
        answer = self.api(at_admin, "POST", f"users/{researcher}/servers/two")
        assert answer.status_code == 403


async def test_a_reset_keeps_running_workspaces(hub, at_admin, researcher: str) -> None:
    steps = TestDeactivation()
    page = hub.visitor()
    page.sign_in(researcher)
    steps.api(page, "POST", f"users/{researcher}/servers/one")
    await until(lambda: steps.ready(at_admin, researcher).get("one"))
    code = at_admin.link(f"people/person/{researcher}/link")
    fresh = hub.visitor()
    assert fresh.redeem(code, password="another fine giraffe song").status_code == 303
    assert page.who() is None
    assert steps.ready(at_admin, researcher)["one"] is True
    tokens = steps.api(at_admin, "GET", f"users/{researcher}/tokens").json()["api_tokens"]
    assert [token["note"] for token in tokens] == [f"Server at /user/{researcher}/one/"]
