"""What the hub itself reads of the run-time settings: site, maintenance, limits, sign-in.

Pages that only the portal needs stand with it.
"""

from datetime import datetime
from typing import ClassVar

from pydantic import AwareDatetime, Field, field_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from petrihub_core.errors import Refused
from petrihub_core.records import Picture
from petrihub_core.settings.store import SettingsPage


class SiteSettings(SettingsPage):
    """Name and branding."""

    page: ClassVar[str] = "site"
    title: ClassVar[str] = "Site"
    summary: ClassVar[str] = "What people see on every page."

    name: str = Field(
        "",
        title="Name",
        max_length=64,
        description="Stands beside the logo. Empty: the name in petrihub.toml.",
    )
    contact: str = Field(
        "",
        title="Contact",
        max_length=120,
        description="Whom to ask, such as an e-mail address; shown where we refuse.",
    )
    accent: str = Field(
        "",
        title="Accent colour",
        pattern=r"^(#[0-9a-fA-F]{6})?$",
        description="Of buttons and links, as #rrggbb. Empty: ours.",
    )
    logo: str = Field(
        "",
        title="Logo",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of a picture that was uploaded as logo. Empty: ours.",
        json_schema_extra={"hidden": True},
    )

    async def check(self, session: AsyncSession) -> None:
        """Refuse a logo that nobody uploaded."""
        known = select(Picture.digest).where(Picture.digest == self.logo)
        if self.logo and await session.scalar(known) is None:
            raise Refused("There is no such picture.", hint="Upload it as logo.")

    @field_validator("accent")
    @classmethod
    def _is_legible(cls, value: str) -> str:
        if value and contrast_with_white(value) < _LEGIBLE:
            raise ValueError(
                "white words on this colour would be hard to read; choose a darker one"
            )
        return value.lower()


_LEGIBLE = 4.5  # contrast ratio of WCAG 2.2, level AA


def contrast_with_white(colour: str) -> float:
    """The contrast ratio of white on `#rrggbb`, between 1 and 21 (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    red, green, blue = linear
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


class SignInSettings(SettingsPage):
    """How people with local accounts come in."""

    page: ClassVar[str] = "sign-in"
    title: ClassVar[str] = "Sign-in"
    summary: ClassVar[str] = (
        "People sign in with local accounts: a name and a password that are kept here."
    )

    shortest_password: int = Field(
        10,
        title="Shortest password",
        ge=10,
        le=64,
        description="Characters that a new password needs at least.",
    )
    free_tries: int = Field(
        5,
        title="Free tries",
        ge=3,
        le=20,
        description="Wrong passwords for one account before it has to wait.",
    )
    longest_wait: int = Field(
        15,
        title="Longest wait",
        ge=1,
        le=60,
        description="Minutes to which the wait grows with each further wrong password.",
    )
    invitation_days: int = Field(
        7, title="Invitations", ge=1, le=60, description="Days for which an invitation can be used."
    )
    reset_hours: int = Field(
        24,
        title="Password links",
        ge=1,
        le=168,
        description="Hours for which a link for a new password can be used.",
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
    summary: ClassVar[str] = "For everybody, unless a group says otherwise."

    workspaces_per_person: int | None = Field(
        None,
        title="Workspaces of a person",
        ge=1,
        le=100,
        description="Most workspaces a person may keep; empty: petrihub.toml's.",
    )
    starts_at_once: int | None = Field(
        None,
        title="Starts at the same time",
        ge=1,
        le=1000,
        description=(
            "Workspaces that may be starting at the same time; the others wait in line. "
            "Empty: one for each processor of the hub's machine, at least two."
        ),
    )
    shares_per_workspace: int = Field(
        20,
        title="Shares of a workspace",
        ge=0,
        le=500,
        description="Most open shares of one workspace; 0 forbids sharing.",
    )
    link_days: int = Field(
        7,
        title="Sharing links",
        ge=1,
        le=365,
        description="Longest life of a sharing link, in days.",
    )
    tokens_per_person: int = Field(
        20,
        title="Access tokens of a person",
        ge=1,
        le=200,
        description="Most access tokens of a person.",
    )
    token_days: int = Field(
        90,
        title="Life of an access token",
        ge=1,
        le=366,
        description="Longest life of a token, in days.",
    )
    requests_open: int = Field(
        10,
        title="Open requests of a person",
        ge=1,
        le=100,
        description="Most open requests of one person.",
    )
