"""Sharing, lineage, differences, a move in a real browser: by keyboard, dark, and at 390 px."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from petrihub_core.checkpoint_move_records import CheckpointMove
from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoints import State
from petrihub_core.records import now

from tests.portal.browsing import look_at, newcomer, wait_for
from tests.portal.conftest import Visit
from tests.portal.guests import PORTAL, Guest, Site

pytestmark = pytest.mark.browser
NAMES = ("base tools", "with DESeq2", "with DESeq2 and clusterProfiler", "for the paper", "trial")
PARENTS = (None, 0, 1, 2, 1)
PACKAGES = [
    {"kind": "conda", "name": "samtools", "before": "1.17", "after": "1.20"},
    {"kind": "python", "name": "numpy", "before": "1.26.4", "after": "2.1.0"},
    {"kind": "python", "name": "scikit-bio", "before": None, "after": "0.6.2"},
    {"kind": "r", "name": "cpp11", "before": "", "after": None},
    {"kind": "r", "name": "DESeq2", "before": None, "after": "1.42.1"},
]
FILES = [
    {"path": "/usr/local/lib/R/site-library/DESeq2/DESCRIPTION", "kind": "added", "size": 1830},
    {"path": "/usr/local/bin/a-tool-with-quite-a-long-name", "kind": "changed", "size": 5_200_000},
    {"path": "/etc/motd", "kind": "deleted", "size": 0},
]


async def _write(site: Site, guest: Guest) -> list[str]:
    tables = site.database()
    ids: list[str] = []
    async with tables.session() as session:
        for number, (name, parent) in enumerate(zip(NAMES, PARENTS, strict=True)):
            row = Checkpoint(
                owner=guest.person_id,
                workspace="study",
                sequence=number + 1,
                name=name,
                message="Everything that the paper's figures need." if number == 3 else "",
                author=guest.name,
                instance="i",
                parent_id=None if parent is None else ids[parent],
                profile="notebooks",
                size="small",
                base_image="petrihub/base",
                base_digest="sha256:" + "1" * 64,
                kind="save",
                state=State.DONE,
                prepared=True,
                summary={"added": 812, "changed": 3, "deleted": 1, "bytes": 98_000_000},
                changes=FILES,
                manifest_digest="sha256:" + "2" * 64,
                layer_size=31_000_000 + number,
                created_at=now() - timedelta(days=9 - number),
                deadline=now(),
            )
            session.add(row)
            await session.flush()
            session.add(CheckpointPackages(checkpoint_id=row.id, packages=PACKAGES[: number + 1]))
            ids.append(row.id)
        session.add(
            CheckpointMove(
                checkpoint_id=ids[3],
                owner=guest.person_id,
                actor=guest.name,
                name="for the paper on new base",
                new_base="sha256:" + "3" * 64,
                state="confirm",
                conflicts=[
                    {"path": "/usr/local/bin/quarto", "kind": "changed", "base": "changed"},
                    {"path": "/etc/motd", "kind": "deleted", "base": "changed"},
                ],
                conflict_count=2,
                deadline=now() + timedelta(hours=1),
            )
        )
    await tables.close()
    return ids


@pytest.fixture(scope="module")
def ada(site: Site) -> Guest:
    return newcomer(site)


@pytest.fixture(scope="module")
def eve(site: Site) -> Guest:
    return newcomer(site)


@pytest.fixture(scope="module")
def saved(site: Site, ada: Guest) -> list[str]:
    return wait_for(_write(site, ada))


def test_the_owner_shares_it_and_the_other_finds_it(
    visit: Visit, ada: Guest, eve: Guest, saved: list[str]
) -> None:
    page: Page = visit(ada, "checkpoints")
    page.get_by_role("link", name="Share for the paper").click()
    expect(page.get_by_role("heading", name="Who may start from it")).to_be_visible()
    page.get_by_label("Name with which they sign in").fill(eve.name)
    page.get_by_label("Build on it").check()
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_text(f"{eve.name} may now start from it and build on it.")).to_be_visible()
    look_at(page, "checkpoint-sharing")
    theirs = visit(eve, "checkpoints")
    shared = theirs.get_by_role("region", name="Shared with me")
    expect(shared.get_by_text(f"shared by {ada.name}")).to_be_visible()
    look_at(theirs, "checkpoints-shared")
    page.get_by_role("button", name=f"End the share with {eve.name}").click()
    theirs.reload()
    expect(shared).to_have_count(0)


def test_a_link_is_shown_once_and_taken(
    visit: Visit, ada: Guest, eve: Guest, saved: list[str]
) -> None:
    page = visit(ada, f"checkpoints/{saved[0]}/sharing")
    page.get_by_label("Anyone with a link").check()
    page.get_by_role("button", name="Share", exact=True).click()
    link = page.get_by_label("Link to this checkpoint").input_value()
    theirs = visit(eve, "checkpoints")
    theirs.goto(link)
    assert "#" not in theirs.url
    look_at(theirs, "checkpoint-join")
    theirs.get_by_role("button", name=f"Take it as {eve.name}").click()
    expect(theirs.get_by_role("heading", name="base tools")).to_be_visible()


def test_the_tree_is_read_by_keyboard(visit: Visit, ada: Guest, saved: list[str]) -> None:
    page = visit(ada, "checkpoints")
    tree = page.get_by_role("region", name="Lineage")
    names = tree.get_by_role("link").all_inner_texts()
    assert names == [
        "base tools",
        "with DESeq2",
        "with DESeq2 and clusterProfiler",
        "for the paper",
        "trial",
    ]
    first = tree.get_by_role("link").first
    first.focus()
    page.keyboard.press("Tab")
    expect(tree.get_by_role("link").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith(f"#checkpoint-{saved[1]}")
    look_at(page, "checkpoints-lineage")


def test_what_differs_and_two_compared(visit: Visit, ada: Guest, saved: list[str]) -> None:
    page = visit(ada, f"checkpoints/{saved[4]}/changes")
    expect(page.get_by_role("rowheader", name="DESeq2")).to_be_visible()
    look_at(page, "checkpoint-changes")
    page.get_by_label("Compared with").select_option(saved[1])
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Compared with the checkpoint “with DESeq2”")).to_be_visible()
    expect(page.get_by_role("rowheader", name="numpy")).to_have_count(0)
    expect(page.get_by_text("No file differs.")).to_be_visible()


def test_what_collides_is_read_before_it_is_moved(
    visit: Visit, ada: Guest, saved: list[str]
) -> None:
    page = visit(ada, f"checkpoints/{saved[3]}/move")
    expect(page.get_by_role("heading", name="2 paths collide")).to_be_visible()
    look_at(page, "checkpoint-move")
    page.get_by_role("button", name="Move it, and use mine").click()
    expect(page.get_by_role("heading", name="Moving", exact=True)).to_be_visible()
    assert page.url.endswith(f"{PORTAL}checkpoints/{saved[3]}/move")
