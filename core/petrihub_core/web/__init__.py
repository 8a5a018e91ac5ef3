"""The hub's own pages: templates, styles and scripts around JupyterHub's handlers."""

from petrihub_core.web.assets import STATIC, static_handlers, template_paths
from petrihub_core.web.words import PORTAL_PREFIX, size_words, template_vars

__all__ = [
    "PORTAL_PREFIX",
    "STATIC",
    "size_words",
    "static_handlers",
    "template_paths",
    "template_vars",
]
