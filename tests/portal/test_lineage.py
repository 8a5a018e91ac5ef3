"""What was made from what, and what differs between two: as pure functions, and on the pages."""

from datetime import timedelta
from typing import Any

from petrihub_core.checkpoint_records import Checkpoint
from petrihub_core.checkpoint_share_records import CheckpointPackages
from petrihub_core.checkpoints import State
from petrihub_core.database import Database
from petrihub_core.records import now
from petrihub_portal.differences import Differences, File, Package, between
from petrihub_portal.lineage import lineage

from tests.portal.guests import Guest
from tests.portal.test_checkpoints import ordered, running, saved

BEGIN = now()


def row(name: str, parent: str | None, age: int) -> Checkpoint:
    return Checkpoint(
        id=name,
        owner="o",
        workspace="w",
        sequence=age,
        name=name,
        author="ada",
        instance="i",
        parent_id=parent,
        profile="p",
        size="s",
        base_image="b",
        base_digest="d",
        kind="save",
        state=State.DONE,
        created_at=BEGIN + timedelta(minutes=age),
        deadline=BEGIN,
    )


def shape(*rows: Checkpoint) -> list[tuple[str, int, bool]]:
    return [(each.row.name, each.depth, each.unseen) for each in lineage(rows, {})]


def test_a_line_stays_straight_and_forks_lead_away_from_it() -> None:
    assert shape(row("c", "b", 3), row("b", "a", 2), row("a", None, 1)) == [
        ("a", 0, False),
        ("b", 0, False),
        ("c", 0, False),
    ]
    fork = [row("a", None, 1), row("b", "a", 2), row("b2", "b", 3), row("c", "a", 4)]
    assert shape(*fork, row("d", "c", 5)) == [
        ("a", 0, False),
        ("b", 1, False),
        ("b2", 1, False),
        ("c", 0, False),
        ("d", 0, False),
    ]


def test_the_newest_tree_is_first_and_what_is_not_seen_is_said() -> None:
    assert shape(row("old", None, 1), row("new", None, 2), row("of-other", "hidden", 3)) == [
        ("of-other", 0, True),
        ("new", 0, False),
        ("old", 0, False),
    ]
    deep = [row("0", None, 0)]
    for n in range(1, 40):  # a fork at each step
        deep += [row(f"{n}", f"{n - 1}", 2 * n), row(f"x{n}", f"{n - 1}", 2 * n + 1)]
    assert max(depth for _, depth, _ in shape(*deep)) == 6


def found(packages: dict[str, tuple[Any, Any]], files: dict[str, tuple[str, int]]) -> Differences:
    return Differences(
        packages=[
            Package(kind="python", name=name, before=before, after=after)
            for name, (before, after) in packages.items()
        ],
        files=[File(path=path, kind=kind, size=size) for path, (kind, size) in files.items()],
        whole=True,
    )


def test_two_checkpoints_are_compared_by_what_each_changed() -> None:
    first = found(
        {"numpy": ("1.26", "2.0"), "rich": (None, "13"), "gone": ("1", None), "same": (None, "1")},
        {
            "/same": ("added", 1),
            "/only-first": ("added", 2),
            "/back": ("deleted", 0),
            "/larger": ("changed", 3),
            "/undone": ("changed", 4),
            "/both-gone": ("deleted", 0),
        },
    )
    second = found(
        {"numpy": ("1.26", "2.1"), "same": (None, "1"), "scipy": ("1.9", "1.10")},
        {
            "/same": ("added", 1),
            "/larger": ("changed", 5),
            "/only-second": ("added", 6),
            "/now-gone": ("deleted", 0),
            "/both-gone": ("deleted", 0),
        },
    )
    both = between(first, second)
    assert [(p.name, p.before, p.after) for p in both.packages] == [
        ("gone", None, "1"),
        ("numpy", "2.0", "2.1"),
        ("rich", "13", None),
        ("scipy", "1.9", "1.10"),
    ]
    assert [(f.path, f.kind, f.size) for f in both.files] == [
        ("/back", "added", 0),
        ("/larger", "changed", 5),
        ("/now-gone", "deleted", 0),
        ("/only-first", "deleted", 0),
        ("/only-second", "added", 6),
        ("/undone", "changed", 0),
    ]
    assert between(first, first).packages == []
    assert between(first, first).files == []


async def test_the_pages_show_the_tree_and_what_differs(guest: Guest, tables: Database) -> None:
    await running(tables, guest)
    first = await ordered(tables, guest, "first")
    second = await ordered(tables, guest, "second")
    changes = [{"path": "/opt/tool", "kind": "added", "size": 5}]
    await saved(tables, second, changes=changes)
    packages = [{"kind": "r", "name": "DESeq2<b>", "before": None, "after": "1.42"}]
    async with tables.session() as session:
        for checkpoint, kept in ((first, []), (second, packages)):
            session.add(CheckpointPackages(checkpoint_id=checkpoint, packages=kept))
    tree = guest.get("checkpoints").text.partition("Lineage</h2>")[2]
    assert tree.index(">first<") < tree.index(">second<") < tree.index("from first")
    text = guest.get(f"checkpoints/{second}/changes").text
    assert "DESeq2&lt;b&gt;" in text
    assert "1.42" in text
    compared = guest.get(f"checkpoints/{second}/changes?since={first}").text
    assert "Compared with the checkpoint “first”" in compared
    detail = guest.api("GET", f"my/checkpoints/{second}").json()
    assert detail["packages"] == packages
    answer = guest.api("GET", f"my/checkpoints/{first}/compare/{second}").json()
    assert answer["packages"][0]["after"] is None
    assert answer["changes"] == [{"path": "/opt/tool", "kind": "deleted", "size": 0}]
    await saved(tables, second, base_digest="sha256:" + "9" * 64)
    assert guest.api("GET", f"my/checkpoints/{first}/compare/{second}").status_code == 409
    assert guest.get(f"checkpoints/{first}/changes?since=nobody").status_code == 404


async def test_the_page_of_one_workspace_shows_its_own(guest: Guest, tables: Database) -> None:
    await running(tables, guest)
    await ordered(tables, guest, "first")
    page = guest.get("workspaces/study/checkpoints")
    assert page.status_code == 200
    assert "Lineage" not in page.text
