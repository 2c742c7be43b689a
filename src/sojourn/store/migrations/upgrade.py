"""Brings a database to the schema of this version, in-process, at start.

alembic is imported only when there is something to do: it costs a third of the server's start.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text

HEAD = "0011"
"""The newest migration; a test compares it with the files."""

MIGRATIONS = Path(__file__).parent


class SchemaTooNew(RuntimeError):
    """The database was written by a later version of Sojourn, or says so."""


def current(engine: Engine) -> str | None:
    """The migration that the database is at; None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine) -> None:
    """Run what is missing. The engine's BEGIN IMMEDIATE is the lock between two starting servers."""
    at = current(engine)
    if at == HEAD:
        return
    if at is not None and at > HEAD:
        raise SchemaTooNew(
            f"the database is at schema {at}, this version of Sojourn knows {HEAD}: install a newer Sojourn"
        )
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if at is not None and at not in known:
        raise SchemaTooNew(
            f"the database is at schema {at!r}, which this version of Sojourn does not know: install the "
            "Sojourn that wrote it, or put a backup in its place"
        )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
