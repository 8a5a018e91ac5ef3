"""Run-time settings: one frozen model per page, versioned in the database, secrets sealed."""

from petrihub_core.settings.store import SettingsPage, history, read, write

__all__ = ["SettingsPage", "history", "read", "write"]
