"""Access tokens of a person: scoped, expiring, revocable."""

from petrihub_portal.routing import Area

area = Area("Access tokens")
