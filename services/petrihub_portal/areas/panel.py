"""The first page of the admin panel: what to set up first."""

from petrihub_portal.routing import Area

area = Area("Admin panel")
