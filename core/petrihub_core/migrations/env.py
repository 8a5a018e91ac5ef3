"""Runs the migrations on the connection that `petrihub_core.database.migrate` hands over."""

from alembic import context

from petrihub_core import (  # noqa: F401 - tables of ours, too
    checkpoint_import_records,
    checkpoint_move_records,
    checkpoint_records,
    checkpoint_share_records,
    storage_key_records,
    storage_records,
)
from petrihub_core.records import Record

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Record.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
