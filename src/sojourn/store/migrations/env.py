"""alembic's entry: runs on the connection that `sojourn.store.migrations.upgrade` hands over."""

from alembic import context

from sojourn.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
