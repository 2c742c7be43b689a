"""Keeps what must survive a restart: one module for each kind of entity, called through `Database`.

`tables` and `migrations` are the schema, `commit` writes what one step of a lane has changed. SQLAlchemy is
used here and nowhere else.
"""

from sojourn.store.commit import Unit
from sojourn.store.database import Database
from sojourn.store.jobs import JobMeta

__all__ = ["Database", "JobMeta", "Unit"]
