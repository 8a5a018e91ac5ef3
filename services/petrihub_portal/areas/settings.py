"""The run-time settings pages."""

from petrihub_portal.routing import Area

area = Area("Settings")
