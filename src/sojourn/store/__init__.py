"""What survives: tables, migrations and one `Store` with named operations. SQLite now, PostgreSQL next."""

from sojourn.store.commit import JobMeta, Unit
from sojourn.store.jobs import Store

__all__ = ["JobMeta", "Store", "Unit"]
