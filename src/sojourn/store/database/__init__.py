"""Opens the database, runs reads and writes, watches its disk and checks its file."""

from sojourn.store.database.access import READING, CannotOpen, Database, Reading, unawaited
from sojourn.store.database.disk_space import DiskSpace, StoreFull
from sojourn.store.database.work import Work, bound, mapped, run_all
from sojourn.store.database.writer import Need

__all__ = [
    "READING",
    "CannotOpen",
    "Database",
    "DiskSpace",
    "Need",
    "Reading",
    "StoreFull",
    "Work",
    "bound",
    "mapped",
    "run_all",
    "unawaited",
]
