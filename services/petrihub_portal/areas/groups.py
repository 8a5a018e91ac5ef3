"""Groups and their members."""

from petrihub_portal.routing import Area

area = Area("Groups")
