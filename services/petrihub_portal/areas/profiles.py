"""Profiles, sizes and apps that are offered, and to whom."""

from petrihub_portal.routing import Area

area = Area("Profiles")
