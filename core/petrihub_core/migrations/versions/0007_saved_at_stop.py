"""Workspaces that are saved when they stop, and how the images below checkpoints are started."""

import sqlalchemy as sa
from alembic import op

from petrihub_core.records import UtcDateTime, now

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TRUTHS = (("sidecar_instances", "saves_at_stop"), ("checkpoints", "at_stop"))


def upgrade() -> None:
    for table, column in _TRUTHS:
        op.add_column(
            table, sa.Column(column, sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.add_column(
        "checkpoints", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column(
        "base_images", sa.Column("started_as", sa.JSON(), nullable=False, server_default="{}")
    )
    leases = sa.table(
        "leases", sa.column("name"), sa.column("holder"), sa.column("until", UtcDateTime())
    )
    op.bulk_insert(leases, [{"name": "image-sweep", "holder": "", "until": now()}])


def downgrade() -> None:
    op.execute("DELETE FROM leases WHERE name = 'image-sweep'")
    op.drop_column("base_images", "started_as")
    op.drop_column("checkpoints", "failures")
    for table, column in _TRUTHS:
        op.drop_column(table, column)
