"""People, invitations and roles."""

from petrihub_portal.routing import Area

area = Area("People")
