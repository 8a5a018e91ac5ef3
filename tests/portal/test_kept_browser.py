"""A workspace that has stopped and is still being saved, as its owner sees it (F44), in a browser.

What the reconciler and the image service would have written is written into the tables here.
"""

from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoints import SAVE, State
from petrihub_core.menu import menu_in_file
from petrihub_core.records import now
from petrihub_core.roles import SUPER_ADMIN

from tests.portal.browsing import look_at, newcomer, wait_for
from tests.portal.conftest import Visit
from tests.portal.guests import Guest, Site
from tests.portal.workspaces import Hub

pytestmark = pytest.mark.browser

WHY = "The image server does not answer."


async def kept(site: Site, guest: Guest, **values: object) -> None:
    """Make or change the order to save what has stopped."""
    tables = site.database()
    async with tables.session() as session:
        row = await session.scalar(select(Checkpoint).where(Checkpoint.owner == guest.person_id))
        if row is None:
            row = Checkpoint(
                owner=guest.person_id,
                workspace="rna-study",
                sequence=1,
                name="When it stopped, 2026-11-22 11:30",
                author="petrihub",
                instance="none",
                profile="notebooks",
                size="small",
                base_image="petrihub/base",
                base_digest="sha256:" + "1" * 64,
                kind=SAVE,
                at_stop=True,
                deadline=now() + timedelta(hours=1),  # until then nobody else touches it
            )
            session.add(row)
        for name, value in values.items():
            setattr(row, name, value)
    await tables.close()


def test_home_says_that_it_is_saved_waits_and_is_stopped(site: Site, visit: Visit) -> None:
    ada = newcomer(site)
    page = visit(ada)
    server = Hub(site).client.put(
        f"users/{ada.name}/servers/rna-study", json={"display_name": "RNA study"}
    )
    assert server.is_success
    wait_for(kept(site, ada, state=State.SAVING, progress={"stage": "packing", "files": 1200}))
    page.reload()
    card = page.locator("#workspace-rna-study")
    expect(card.locator(".ph-pill")).to_have_text("Saving")
    look_at(page, "home-saving")
    assert ada.api("GET", "my/workspaces/rna-study").json()["state"] == "saving"
    refused = ada.api("POST", "my/workspaces/rna-study/start")
    assert (refused.status_code, "saving" in refused.json()["detail"]) == (409, True)
    assert ada.api("DELETE", "my/workspaces/rna-study").status_code == 409

    # it changes by itself, as long as it moves
    wait_for(kept(site, ada, state=State.WAITING, reason=WHY, progress={}))
    expect(card.locator(".ph-pill")).to_have_text("Waiting to save")
    expect(card).to_contain_text(WHY)
    look_at(page, "home-waiting-to-save")
    now_ = ada.api("GET", "my/workspaces/rna-study").json()
    assert (now_["state"], WHY in now_["reason"]) == ("waiting_to_save", True)
    assert "not saved yet" in ada.api("DELETE", "my/workspaces/rna-study").json()["detail"]

    card.get_by_role("link", name="Look at what waits").click()
    saved = page.locator(".ph-checkpoint")
    expect(saved).to_contain_text("it is tried again until it is saved")
    look_at(page, "checkpoint-waiting-to-save")
    page.get_by_label("Discard what I changed in rna-study", exact=True).click()
    page.get_by_label("Discard what I changed in rna-study for good").click()
    expect(saved.locator(".ph-pill")).to_have_text("Not saved")
    assert ada.api("GET", "my/workspaces/rna-study").json()["state"] == "new"


def test_a_profile_says_whether_it_is_saved(site: Site, visit: Visit) -> None:
    boss = newcomer(site, SUPER_ADMIN)
    page = visit(boss, f"admin/profiles/edit/{menu_in_file(site.deployment).profiles[0].id}")
    choice = page.get_by_label("Save when it stops")
    expect(choice).to_have_value("")
    choice.select_option(label="Ask nothing and save")
    look_at(page, "profile-save-at-stop")
