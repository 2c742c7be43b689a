"""What survives: tables, migrations and one `Store` with named operations. SQLite now, PostgreSQL next."""

from sojourn.store.store import Store
from sojourn.store.unit import JobMeta, Unit

__all__ = ["JobMeta", "Store", "Unit"]
