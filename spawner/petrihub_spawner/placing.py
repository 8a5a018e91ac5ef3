"""Where the places of a person are in a pod: volumes, and mounts of the main container.

How a volume is carried is not decided here.
"""

import json
from collections.abc import Iterable

from petrihub_core.places import Kind, Place, home_of
from petrihub_spawner.pod.model import Mount, PodRef, Volume

# for the Jupyter server, which puts links to them into the home: see petrihub_extensions.places
PLACES_VARIABLE = "PETRIHUB_PLACES"


def placed(
    ref: PodRef, home: str, places: Iterable[Place]
) -> tuple[tuple[Volume, ...], tuple[Mount, ...]]:
    """The home, seen at `home`, and the other places at their own paths."""
    own = home_of(ref.person)
    others = [each for each in places if each.kind is not Kind.HOME]
    volumes = tuple(
        Volume(
            name=each.volume,
            external=each.external(ref.deployment),
            subject=each.subject,
            title=each.title or each.name or each.kind.capitalize(),
        )
        for each in (own, *others)
    )
    mounts = (
        Mount(volume=own.volume, path=home),
        *(Mount(volume=each.volume, path=each.path, read_only=each.read_only) for each in others),
    )
    return volumes, mounts


def links_json(places: Iterable[Place]) -> str:
    """The links that a home gets, by their paths in it: `Shared/<group>` and `Public`."""
    links = {}
    for each in places:
        if each.kind is Kind.SHARED:
            links[f"Shared/{each.name}"] = each.path
        elif each.kind is Kind.PUBLIC:
            links["Public"] = each.path
    return json.dumps(links)
