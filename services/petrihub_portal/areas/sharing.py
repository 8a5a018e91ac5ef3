"""Letting somebody else into a running workspace."""

from petrihub_portal.routing import Area

area = Area("Sharing")
