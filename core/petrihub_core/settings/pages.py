"""What the hub itself reads of the run-time settings: site, maintenance, limits, sign-in.

Pages that only the portal needs stand with it.
"""

from datetime import datetime
from typing import ClassVar

from pydantic import AwareDatetime, Field

from petrihub_core.settings.store import SettingsPage


class SiteSettings(SettingsPage):
    """Name and branding."""

    page: ClassVar[str] = "site"
    title: ClassVar[str] = "Site"

    name: str = Field("", max_length=64, description="Name beside the logo; empty: none.")
    contact: str = Field(
        "",
        max_length=120,
        description="Whom to ask, such as an e-mail address; shown where we refuse.",
    )
    accent: str = Field(
        "", pattern=r"^(#[0-9a-fA-F]{6})?$", description="Accent colour as #rrggbb; empty: ours."
    )


class MaintenanceSettings(SettingsPage):
    """No new starts while it is on; running workspaces are kept."""

    page: ClassVar[str] = "maintenance"
    title: ClassVar[str] = "Maintenance"

    on: bool = Field(False, description="Whether new starts are refused.")
    message: str = Field("", max_length=300, description="What people read.")
    from_: AwareDatetime | None = Field(
        None, description="When it begins; empty: at once. Until then a countdown is shown."
    )
    until: AwareDatetime | None = Field(None, description="When it is expected to end.")

    def begun(self, at: datetime) -> bool:
        """Whether starts are refused at this moment."""
        return self.on and (self.from_ is None or self.from_ <= at)


class LimitsSettings(SettingsPage):
    """Limits for everybody, unless a group says otherwise."""

    page: ClassVar[str] = "limits"
    title: ClassVar[str] = "Limits"

    workspaces_per_person: int | None = Field(
        None, ge=1, le=100, description="Most workspaces a person may keep; empty: petrihub.toml's."
    )
    shares_per_workspace: int = Field(
        20, ge=0, le=500, description="Most open shares of one workspace; 0 forbids sharing."
    )
    link_days: int = Field(7, ge=1, le=365, description="Longest life of a sharing link, in days.")
    tokens_per_person: int = Field(20, ge=1, le=200, description="Most access tokens of a person.")
    token_days: int = Field(90, ge=1, le=366, description="Longest life of a token, in days.")
    requests_open: int = Field(10, ge=1, le=100, description="Most open requests of one person.")
