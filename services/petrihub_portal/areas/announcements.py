"""Words to everybody, and maintenance."""

from petrihub_portal.routing import Area

area = Area("Announcements")
