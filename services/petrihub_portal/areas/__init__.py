"""The parts of the portal; what is not listed here does not exist."""

from petrihub_portal.areas import (
    announcements,
    audit,
    diagnostics,
    feed,
    groups,
    health,
    home,
    me,
    panel,
    people,
    profiles,
    requests,
    settings,
    sharing,
    sign_in,
    tls,
    tokens,
    workspaces,
)
from petrihub_portal.routing import Area

AREAS: tuple[Area, ...] = (
    sign_in.area,
    health.area,
    me.area,
    home.area,
    feed.area,
    requests.area,
    sharing.area,
    tokens.area,
    panel.area,
    people.area,
    groups.area,
    profiles.area,
    workspaces.area,
    announcements.area,
    settings.area,
    tls.area,
    audit.area,
    diagnostics.area,
)
