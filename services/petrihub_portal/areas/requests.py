"""Asking for more, and answering."""

from petrihub_portal.routing import Area

area = Area("Requests")
