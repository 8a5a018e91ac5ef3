"""The feed of a person: what finished, failed, is about to stop, was granted."""

from petrihub_portal.routing import Area

area = Area("Feed")
