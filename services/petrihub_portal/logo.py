"""A site's logo: what an administrator uploads becomes a clean PNG that no ground hides."""

import asyncio
import hashlib
from io import BytesIO

from PIL import Image

from petrihub_core import settings
from petrihub_core.errors import Refused
from petrihub_core.records import Picture
from petrihub_core.settings.pages import SiteSettings, contrast_with_white
from petrihub_portal.visit import Visit

MOST_BYTES = 256 * 1024
MOST_PIXELS = 1024  # of a side
_KEPT_PIXELS = 480  # of a side: twice what a page shows, for dense screens
_JUDGED_PIXELS = 64
_DARK_GROUND = "#18201d"  # the bar in the dark theme; in the light one it is white
_PLAIN = 2.0  # contrast from which a large shape is seen
_HIDDEN = 0.1  # share of a picture that may be hard to see


def clean(data: bytes, by: str) -> Picture:
    """The picture, decoded and written anew: pixels only. Raises `Refused` for anything else."""
    if not data:
        raise Refused("No picture was chosen.", hint="Choose a PNG file.")
    if len(data) > MOST_BYTES:
        raise Refused(
            f"The picture is larger than {MOST_BYTES // 1024} KiB.", hint="Save it smaller."
        )
    image = _decoded(data)
    image.thumbnail((_KEPT_PIXELS, _KEPT_PIXELS))
    # from the bare pixels: Pillow would carry profiles and text of the original along
    bare = Image.frombytes("RGBA", image.size, image.tobytes())
    written = BytesIO()
    bare.save(written, "PNG", optimize=True)
    png = written.getvalue()
    digest = hashlib.sha256(png).hexdigest()
    return Picture(
        digest=digest, png=png, width=bare.width, height=bare.height, plate=_plate(bare), by=by
    )


def _decoded(data: bytes) -> Image.Image:
    try:
        found = Image.open(BytesIO(data), formats=["PNG"])
        too_large = max(found.size) > MOST_PIXELS  # before any pixel is unpacked
        image = None if too_large else found.convert("RGBA")
    except Exception as exc:  # a decoder that is fed by strangers fails in many ways
        raise Refused("This is not a PNG picture.", hint="Save it as PNG and try again.") from exc
    if image is None:
        raise Refused(
            f"The picture has more than {MOST_PIXELS} pixels on a side.", hint="Save it smaller."
        )
    if image.getchannel("A").getbbox() is None:
        raise Refused("The picture is transparent everywhere.", hint="Choose another one.")
    return image


def _plate(image: Image.Image) -> str:
    """The theme, "light" or "dark", whose ground would hide too much of the picture; or none."""
    if image.getchannel("A").getextrema()[0] == 255:
        return ""  # it brings its own ground
    small = image.copy()
    small.thumbnail((_JUDGED_PIXELS, _JUDGED_PIXELS))
    pixels = small.tobytes()
    seen = [
        contrast_with_white(f"#{pixels[at : at + 3].hex()}")
        for at in range(0, len(pixels), 4)
        if pixels[at + 3] > 127
    ]
    on_light = sum(each < _PLAIN for each in seen)
    on_dark = sum(contrast_with_white(_DARK_GROUND) / each < _PLAIN for each in seen)
    if max(on_light, on_dark) <= _HIDDEN * len(seen):
        return ""
    return "light" if on_light > on_dark else "dark"


async def replace_logo(visit: Visit, data: bytes, expected: int | None) -> None:
    """Make this the site's logo, as a new version of the page Site."""
    picture = await asyncio.to_thread(clean, data, visit.actor.name)
    async with visit.portal.database.session() as session:
        if await session.get(Picture, picture.digest) is None:
            session.add(picture)
        site = await settings.read(session, SiteSettings)
        wanted = site.model_copy(update={"logo": picture.digest})
        await settings.write(session, wanted, by=visit.actor.name, expected=expected)


async def remove_logo(visit: Visit, expected: int | None) -> None:
    """Show our own mark again, as a new version of the page Site; nothing if it is shown."""
    async with visit.portal.database.session() as session:
        site = await settings.read(session, SiteSettings)
        if site.logo:
            wanted = site.model_copy(update={"logo": ""})
            await settings.write(session, wanted, by=visit.actor.name, expected=expected)
