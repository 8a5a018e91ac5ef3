"""The manual page of the settings pages, written from their models."""

from petrihub_core.settings.fields import manual
from petrihub_portal.settings_pages import all_pages

_HEAD = """\
# Settings pages

What an administrator changes in the browser under Admin, Settings (and TLS), or by REST below
`/services/portal/api/v1/settings`. Every saved version is kept. What is fixed at start stands in
[petrihub.toml](configuration.md).

This page is written by `petrihub settings manual`; a test keeps it in step with the code
(`tests/portal/test_settings_pages.py`).

"""


def manual_page() -> str:
    """The page as Markdown."""
    return _HEAD + manual(all_pages())
