"""All running workspaces, and the machines that carry them."""

from petrihub_portal.routing import Area

area = Area("Workspaces")
