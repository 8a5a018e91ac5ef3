"""A bundle for support, without secrets."""

from petrihub_portal.routing import Area

area = Area("Diagnostics")
