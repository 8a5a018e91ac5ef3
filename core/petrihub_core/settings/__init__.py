"""Run-time settings: one frozen model per page, versioned in the database, secrets sealed."""

from petrihub_core.settings.store import Secret, SettingsPage, history, put_back, read, write

__all__ = ["Secret", "SettingsPage", "history", "put_back", "read", "write"]
