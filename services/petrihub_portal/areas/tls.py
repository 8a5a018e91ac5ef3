"""The certificate of this site."""

from petrihub_portal.routing import Area

area = Area("TLS")
