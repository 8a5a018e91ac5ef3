"""The site's logo: what is taken and refused, where it is shown, and how it is served."""

import base64
import hashlib
import struct
import time
import zlib
from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from PIL import Image, ImageDraw, PngImagePlugin
from sqlalchemy import select

from petrihub_core.database import Database
from petrihub_core.errors import Refused
from petrihub_core.records import AuditRow
from petrihub_portal.logo import MOST_BYTES, clean

from tests.portal.conftest import AddPerson
from tests.portal.guests import PORTAL, Guest

PATIENCE_S = 30.0


def png(image: Image.Image, **more: object) -> bytes:
    written = BytesIO()
    image.save(written, "PNG", **more)
    return written.getvalue()


def drawn(*inks: str, ground: str = "#00000000", size: tuple[int, int] = (200, 80)) -> Image.Image:
    """Stripes in these inks on a ground."""
    image = Image.new("RGBA", size, ground)
    draw = ImageDraw.Draw(image)
    wide = size[0] // len(inks)
    for at, ink in enumerate(inks):
        draw.rectangle([at * wide, 10, (at + 1) * wide - 1, size[1] - 10], fill=ink)
    return image


def chunks(data: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append(data[at + 4 : at + 8])
        at += length + 12
    return found


def claiming(width: int, height: int) -> bytes:
    """A PNG whose head promises more pixels than it brings."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")


@pytest.fixture
def logo(boss: Guest) -> Iterator[Image.Image]:
    """A picture to upload; afterwards the site is as before, without one."""
    values = boss.api("GET", "settings/site").json()["values"]
    yield drawn("#0b6e63", "#c0392b")
    assert boss.api("DELETE", "settings/site/logo").status_code == 200
    before = {**values, "logo": ""}
    assert boss.api("PUT", "settings/site", {"values": before}).status_code == 200


def upload(guest: Guest, data: bytes, **fields: str) -> httpx.Response:
    files = {"picture": ("logo.png", data, "image/png")}
    return guest.send("POST", "admin/settings/site/logo", files=files, data=fields)


def as_body(data: bytes) -> dict[str, object]:
    return {"png": base64.b64encode(data).decode()}


def current(guest: Guest) -> str:
    return str(guest.api("GET", "settings/site").json()["values"]["logo"])


def test_an_uploaded_logo_is_on_every_page_of_portal_and_hub(
    boss: Guest, guest: Guest, logo: Image.Image
) -> None:
    assert upload(boss, png(logo)).status_code == 303
    source = f'src="{PORTAL}logo/{current(boss)}.png"'
    settings = boss.get("admin/settings/site").text
    assert "The logo is on every page now." in settings
    assert settings.count(source) == 3, "in the bar, and as both themes show it"
    assert f'{source} alt="' in guest.get("/").text
    with httpx.Client(base_url=boss.site.url, trust_env=False) as stranger:
        until = time.monotonic() + PATIENCE_S  # the hub's pages follow within seconds
        while (page := stranger.get("/hub/login").text).count(source) != 2:
            assert time.monotonic() < until, page
            time.sleep(0.2)
        assert 'width="200" height="80"' in page
    assert source in guest.client.get("/hub/spawn").text
    assert boss.post("admin/settings/site/logo/remove").status_code == 303
    assert "logo/" not in boss.get("admin/settings/site").text.split("<main")[0]


def test_it_is_served_to_strangers_as_a_png_for_ever_and_holds_pixels_only(
    boss: Guest, logo: Image.Image
) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", "somebody <script>")
    sent = png(logo, pnginfo=told, icc_profile=b"a profile", dpi=(300, 300)) + b"<script>after"
    assert {b"tEXt", b"iCCP", b"pHYs"} <= set(chunks(sent[: -len(b"<script>after")]))
    assert upload(boss, sent).status_code == 303
    served = httpx.get(f"{boss.site.url}{PORTAL}logo/{current(boss)}.png", trust_env=False)
    assert served.headers["content-type"] == "image/png"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in served.headers["cache-control"]
    assert "set-cookie" not in served.headers
    assert set(chunks(served.content)) == {b"IHDR", b"IDAT", b"IEND"}
    assert hashlib.sha256(served.content).hexdigest() == current(boss)
    assert Image.open(BytesIO(served.content)).tobytes() == logo.tobytes()
    for wrong in ("0" * 64, "..%2f..%2fetc%2fpasswd", "1"):
        answer = httpx.get(f"{boss.site.url}{PORTAL}logo/{wrong}.png", trust_env=False)
        assert answer.status_code == 404


REFUSED = {
    "nothing": (b"", "No picture was chosen"),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
    "a name alone": (b"\x89PNG\r\n\x1a\n", "not a PNG"),
    "half a picture": (png(Image.effect_noise((99, 99), 90))[:-2000], "not a PNG"),
    "more pixels than it brings": (claiming(500, 500), "not a PNG"),
    "a bomb": (claiming(60_000, 60_000), "not a PNG"),
    "too wide": (png(Image.new("RGB", (1025, 8), "red")), "more than 1024 pixels"),
    "too heavy": (png(Image.effect_noise((700, 700), 90).convert("RGB")), "larger than 256 KiB"),
    "nothing to see": (png(Image.new("RGBA", (50, 50))), "transparent everywhere"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_small_png_is_refused_in_words(boss: Guest, what: str) -> None:
    data, words = REFUSED[what]
    with pytest.raises(Refused, match=words):
        clean(data, "tests")
    if 0 < len(data) <= MOST_BYTES:
        assert boss.api("PUT", "settings/site/logo", as_body(data)).status_code == 400


def test_a_refusal_is_shown_on_the_page_and_other_kinds_are_not_decoded(boss: Guest) -> None:
    photo = BytesIO()
    Image.new("RGB", (40, 40), "red").save(photo, "JPEG")
    before = current(boss)
    answer = upload(boss, photo.getvalue())
    assert answer.status_code == 400
    assert "This is not a PNG picture." in answer.text
    assert upload(boss, b"x" * (2 * MOST_BYTES)).status_code == 413
    assert current(boss) == before


async def test_it_is_a_version_of_the_page_and_can_be_put_back(
    boss: Guest, logo: Image.Image, tables: Database
) -> None:
    state = boss.api("PUT", "settings/site/logo", as_body(png(logo))).json()
    first = state["values"]["logo"]
    other = as_body(png(drawn("#123456")))
    stale = boss.api("PUT", "settings/site/logo", {**other, "expected": state["version"] - 1})
    assert stale.status_code == 409
    replaced = boss.api("PUT", "settings/site/logo", {**other, "expected": state["version"]})
    assert replaced.json()["values"]["logo"] not in ("", first)
    body = {"version": state["version"]}
    assert boss.api("POST", "settings/site/put-back", body).json()["values"]["logo"] == first
    [newest, *_] = boss.api("GET", "settings/site/versions").json()["items"]
    assert newest["changes"] == [["Logo", replaced.json()["values"]["logo"], first]]
    values = {**boss.api("GET", "settings/site").json()["values"], "logo": "0" * 64}
    unknown = boss.api("PUT", "settings/site", {"values": values})
    assert (unknown.status_code, unknown.json()["detail"]) == (400, "There is no such picture.")
    form = {**values, "logo": first, "contact": "ask@lab.example"}
    assert boss.post("admin/settings/site", form).status_code == 303
    assert current(boss) == first, "the form carries it along"
    async with tables.reading() as session:
        mine = select(AuditRow.detail).where(
            AuditRow.actor == boss.name, AuditRow.action == "settings.saved"
        )
        changed = [row["changed"] for row in await session.scalars(mine.order_by(AuditRow.seq))]
    assert changed == ["logo", "logo", "logo", "contact"]


async def test_who_may_only_look_cannot_change_it(add_person: AddPerson) -> None:
    reader = await add_person("auditor")
    assert upload(reader, png(drawn("#123456"))).status_code == 403
    assert reader.api("DELETE", "settings/site/logo").status_code == 403


@pytest.mark.parametrize(
    ("image", "plate"),
    [
        (drawn("#111111"), "dark"),
        (drawn("#ffffff"), "light"),
        (drawn("#0b8e80", "#c0392b"), ""),
        (drawn("#111111", "#e67e22", "#e67e22"), "dark"),
        (drawn("#111111", ground="#ffffff"), ""),
        (Image.new("L", (30, 30), 20), ""),
    ],
)
def test_a_plate_stands_where_a_ground_would_hide_it(image: Image.Image, plate: str) -> None:
    assert clean(png(image), "tests").plate == plate


def test_a_large_one_is_made_as_small_as_it_is_shown() -> None:
    made = clean(png(drawn("#111111", size=(1024, 512))), "tests")
    assert (made.width, made.height) == (480, 240)
