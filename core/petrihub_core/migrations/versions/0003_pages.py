"""Pictures of the site, and groups that people may ask to join.

There is no way down: the backup that is made before an upgrade is.
"""

import sqlalchemy as sa
from alembic import op

from petrihub_core.records import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("plate", sa.String(length=8), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_pictures")),
    )
    # ALTER in place: SQLite's way of making the table anew would delete what points at it
    op.add_column(
        "groups",
        sa.Column("open_to_requests", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
