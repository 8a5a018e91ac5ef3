"""The audit trail: search, export, verify."""

from petrihub_portal.routing import Area

area = Area("Audit")
