"""The form with which something is shared, as the pages of workspaces and checkpoints have it."""

from enum import StrEnum

from petrihub_core.errors import Refused
from petrihub_portal.giving import Wish, With
from petrihub_portal.visit import Form, Visit


def wish_of(form: Form, modes: type[StrEnum]) -> Wish:
    """What the form asks for; raises `Refused`."""
    try:
        kind, mode = With(form.one("with")), modes(form.one("mode"))
        hours = int(form.one("hours") or 0) or None
    except ValueError as exc:
        raise Refused("The form was not filled in.", hint="Reload the page.") from exc
    who = "" if kind is With.LINK else form.one(kind)
    if kind is not With.LINK and not who:
        raise Refused(
            "Nobody was named.",
            hint="Write a name, or choose a group." if kind is With.PERSON else "Choose a group.",
        )
    return Wish(kind=kind, mode=mode, who=who, hours=hours)


def typed_in(form: Form) -> dict[str, str]:
    """What was written, to be shown again beside an error."""
    return {key: form.one(key)[:64] for key in ("with", "person", "group", "mode", "hours")}


def link(visit: Visit, path: str, code: str) -> str:
    """The address to send: the code stands behind its #, which no server is told."""
    base = visit.request.base_url
    return f"{base.scheme}://{base.netloc}{visit.portal.prefix}{path}#{code}"
