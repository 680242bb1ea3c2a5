"""What Alembic runs: the migrations, on the connection that `photos.library.database` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from photos.library import tables

assert tables.Photo.metadata is SQLModel.metadata  # importing the tables is what fills it
# Batch mode: SQLite changes a table by copying it.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
