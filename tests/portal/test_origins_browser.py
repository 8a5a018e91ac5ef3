"""Origins in a real browser: what a page at one person's origin can reach, and what it cannot."""

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from petrihub_portal.origins import origin_of

from tests.platform import BROWSER_FLAGS, PASSWORD
from tests.portal.fronted import OWN_DOMAIN, Fronted, HttpsGuest
from tests.portal.guests import PORTAL
from tests.portal.test_sharing_browser import NOTEBOOK
from tests.portal.workspaces import WORKSPACE, Hub, Studio, make_guest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PATIENCE_MS = 60_000
NAMES = f"--host-resolver-rules=MAP *.{OWN_DOMAIN} 127.0.0.1, MAP {OWN_DOMAIN} 127.0.0.1"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=[*BROWSER_FLAGS, NAMES]
        )
        yield launched
        launched.close()


@dataclass
class Person:
    """Somebody with a running workspace and a browser that is signed in."""

    studio: Studio
    context: BrowserContext

    @property
    def name(self) -> str:
        return self.studio.owner.name

    @property
    def origin(self) -> str:
        return origin_of(self.studio.site.deployment, self.name)

    @property
    def lab(self) -> str:
        return f"{self.origin}{self.studio.base}lab"

    def page(self, url: str) -> Page:
        page = self.context.new_page()
        page.goto(url)
        return page

    def is_signed_in(self) -> bool:
        """As themselves, at the portal and at the hub, without another sign-in."""
        page = self.page(f"{self.studio.site.url}{PORTAL}")
        expect(page.locator(f'[data-user="{self.name}"]').first).to_be_attached()
        page.goto(f"{self.studio.site.url}/hub/token")
        expect(page.locator(f'[data-user="{self.name}"]').first).to_be_attached()
        page.close()
        return True


def new_person(site: Fronted, browser: Browser, profile: str) -> Person:
    # the browser's driver runs a loop in this thread, so ours gets its own
    with ThreadPoolExecutor(1) as thread:
        made = make_guest(site, kind=HttpsGuest)
        owner = thread.submit(asyncio.run, made).result().sign_in()
    studio = Studio(owner, Hub(site), site)
    studio.hub.start(owner, WORKSPACE, profile)
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1360, "height": 850})
    page = context.new_page()
    page.goto(site.url)
    page.get_by_label("Name").fill(owner.name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(f'[data-user="{owner.name}"]').first).to_be_attached()
    page.close()
    return Person(studio, context)


@pytest.fixture(scope="module")
def ada(origins: Fronted, browser: Browser) -> Person:
    return new_person(origins, browser, "bio-studio")


@pytest.fixture(scope="module")
def bob(origins: Fronted, browser: Browser, ada: Person) -> Person:
    """Somebody who is let into ada's workspace, so that her pages run in his browser."""
    made = new_person(origins, browser, "notebooks")
    ada.studio.share(kind="person", mode="work", who=made.name)
    return made


def enter(page: Page) -> None:
    """Past the question of a workspace that is somebody else's, into JupyterLab."""
    asks = page.get_by_role("button", name="Enter", exact=True)
    expect(page.locator(".jp-LabShell").or_(asks).first).to_be_visible(timeout=PATIENCE_MS)
    if asks.is_visible():
        asks.click()
    expect(page.locator(".jp-LabShell")).to_be_visible(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def hers(ada: Person, bob: Person) -> Page:
    """A page at ada's origin in bob's browser; he has his own workspace open beside it."""
    mine = bob.page(bob.lab)
    enter(mine)
    mine.close()
    page = bob.page(f"{ada.lab}?reset")
    enter(page)
    return page


def test_a_workspace_opens_from_home_at_its_owner_s_origin_and_computes(ada: Person) -> None:
    page = ada.page(f"{ada.studio.site.url}{PORTAL}")
    page.get_by_role("link", name=f"Open {WORKSPACE}").click()
    expect(page.locator(".jp-LabShell")).to_be_visible(timeout=PATIENCE_MS)
    assert page.url.startswith(ada.lab)
    inside = ada.studio.of(ada.studio.owner)
    assert inside.enter().status_code == 200
    inside.call("PUT", "api/contents/live.ipynb", json=NOTEBOOK)
    page.goto(f"{ada.lab}/tree/live.ipynb?reset")
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Idle", timeout=PATIENCE_MS)
    page.locator(".jp-Cell").first.click()
    page.keyboard.press("Control+Enter")
    output = page.locator(".jp-OutputArea-output").first
    expect(output).to_contain_text("seen 42", timeout=PATIENCE_MS)
    page.close()


def test_an_app_opens_by_its_tile(ada: Person) -> None:
    page = ada.page(f"{ada.studio.site.url}{PORTAL}")
    page.get_by_role("link", name="CELLxGENE").click()
    # it asks which file, so JupyterLab has understood the address
    expect(page.get_by_role("dialog")).to_contain_text("CELLxGENE", timeout=PATIENCE_MS)
    assert page.url.startswith(ada.lab)
    page.close()


READ = """async ([url, mode, method]) => {
  const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
  const headers = mode === 'cors' && token ? { 'X-XSRFToken': token[1] } : {};
  try {
    const answer = await fetch(url, { mode, method, headers, credentials: 'include' });
    return answer.type === 'opaque' ? 'opaque' : await answer.text();
  } catch (error) {
    return 'refused';
  }
}"""


def test_a_page_at_her_origin_reads_nothing_of_his_nor_of_the_site(
    ada: Person, bob: Person, hers: Page
) -> None:
    site = bob.studio.site.url
    reached: dict[str, int] = {}
    hers.on("response", lambda answer: reached.update({answer.url: answer.status}))
    his = f"{bob.origin}{bob.studio.base}api/contents"
    targets = [his, f"{site}/hub/api/user", f"{site}/hub/token", f"{site}{PORTAL}api/v1/me"]
    for url in targets:
        for mode, method in (("cors", "GET"), ("no-cors", "GET"), ("no-cors", "POST")):
            assert hers.evaluate(READ, [url, mode, method]) in ("refused", "opaque"), url
    assert [reached[url] for url in targets[:3]] == [403, 403, 403]
    # at her own origin there is neither hub nor portal, and his cookies of both are not sent there
    for path in ("/hub/api/user", f"{PORTAL}api/v1/me"):
        assert hers.evaluate(READ, [path, "cors", "GET"]) == "refused"
    opened = """url => new Promise(done => {
      const socket = new WebSocket(url);
      socket.onopen = () => done('open');
      socket.onerror = () => done('refused');
    })"""
    events = f"{bob.origin}{bob.studio.base}api/events/subscribe".replace("https", "wss")
    assert hers.evaluate(opened, events) == "refused"
    sent = {each["name"] for each in bob.context.cookies(ada.origin)}
    assert {name for name in sent if "hub-login" in name or "portal" in name} == set()
    own = bob.page(bob.lab)  # the same asked by his own page is answered
    assert '"content"' in own.evaluate(READ, [his, "cors", "GET"])
    own.close()


TOSS = """([domain, cookies, paths]) => {
  for (const [name, value] of cookies)
    for (const path of paths)
      document.cookie = `${name}=${value}; Domain=${domain}; Path=${path}; Secure`;
}"""


def test_cookies_that_her_page_leaves_neither_sign_in_nor_lock_out(
    ada: Person, bob: Person, hers: Page
) -> None:
    site = bob.studio.site.url
    page = ada.page(f"{site}/hub/token")  # her own cookies are good ones, of somebody else
    hers_at_hub = {each["name"]: each["value"] for each in ada.context.cookies(f"{site}/hub/token")}
    page.close()
    assert {"_xsrf", "__Host-jupyterhub-hub-login", "__Host-petrihub-portal"} <= hers_at_hub.keys()
    plain = {name.removeprefix("__Host-"): value for name, value in hers_at_hub.items()}
    cookies = [*hers_at_hub.items(), *plain.items()]
    paths = ["/", "/hub/", "/hub/spawn", "/hub/login", PORTAL, bob.studio.base]
    hers.evaluate(TOSS, [OWN_DOMAIN, cookies, [*paths, f"{bob.studio.base}lab"]])
    last = ([*plain][-1], f"{bob.studio.base}lab")
    tossed: set[tuple[str, str]] = set()
    for _ in range(600):  # Chromium keeps them one after the other, when it comes to it
        kept = bob.context.cookies()
        tossed = {(c["name"], c["path"]) for c in kept if c["domain"] == f".{OWN_DOMAIN}"}
        if last in tossed:
            break
        hers.wait_for_timeout(50)
    assert last in tossed
    assert {name for name, _ in tossed} >= {"_xsrf", "jupyterhub-hub-login", "petrihub-portal"}
    assert bob.is_signed_in()
    starts_a_workspace(bob)
    own = bob.page(bob.lab)
    enter(own)
    save = """async base => {
      const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
      const answer = await fetch(`${base}api/contents/a.txt`, {
        method: 'PUT',
        headers: { 'X-XSRFToken': token ? token[1] : '' },
        body: JSON.stringify({ type: 'file', format: 'text', content: 'mine' })
      });
      return answer.status;
    }"""
    assert own.evaluate(save, bob.studio.base) in (200, 201)
    own.close()
    # out and in again, as himself
    page = bob.page(f"{site}{PORTAL}sign-out")
    page.goto(site)
    page.get_by_label("Name").fill(bob.name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(f'[data-user="{bob.name}"]').first).to_be_attached()
    page.close()


def starts_a_workspace(person: Person) -> None:
    """By the hub's own form, which carries a token against forgery; reloading once may be asked."""
    where = f"{person.studio.site.url}/hub/spawn/{person.name}/more"
    begun = re.escape(f"{person.studio.site.url}/hub/spawn-pending/{person.name}/more")
    ready = re.escape(f"{person.origin}/user/{person.name}/more/")
    page = person.page(where)
    for _ in range(2):
        page.get_by_label("Notebooks", exact=True).check()
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            page.get_by_role("button", name="Start").click()
        if answered.value.ok or answered.value.status == 302:
            break
        page.goto(where)
    expect(page).to_have_url(re.compile(f"{begun}|{ready}"))
    page.close()


def test_her_page_cannot_sign_him_in_as_somebody_else(ada: Person, bob: Person, hers: Page) -> None:
    form = """([action, fields]) => {
      const form = document.createElement('form');
      Object.assign(form, { action, method: 'POST', target: 'out' });
      for (const [name, value] of fields) {
        form.append(Object.assign(document.createElement('input'), { name, value }));
      }
      document.body.append(form);
      form.submit();
    }"""
    fields = [["username", ada.name], ["password", PASSWORD], ["_xsrf", "x"]]
    with hers.context.expect_page() as opened:
        hers.evaluate(form, [f"{bob.studio.site.url}/hub/login", fields])
    expect(opened.value.locator("body")).to_contain_text("A page of another address")
    opened.value.close()
    assert bob.is_signed_in()


def test_the_other_side_of_a_share_sees_and_is_put_out(
    ada: Person, bob: Person, hers: Page
) -> None:
    expect(hers.locator("#petrihub-banner")).to_contain_text("Working together")
    listed = ada.studio.owner.api("GET", f"workspaces/{WORKSPACE}/shares").json()
    for each in listed:
        ada.studio.end(each["id"])
    out = hers.get_by_role("dialog").filter(has_text="You are out")
    expect(out).to_be_visible(timeout=20_000)
    hers.get_by_role("button", name="Home").click()
    hers.wait_for_url(f"{bob.studio.site.url}{PORTAL}")
    assert json.loads(bob.studio.owner.get("api/v1/shares").text) == []
