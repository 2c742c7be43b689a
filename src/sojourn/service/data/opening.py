"""Opens the database of a service, and says in one sentence why that cannot be done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sojourn.service.errors import ServiceFailed
from sojourn.store.database import CannotOpen, Database
from sojourn.store.database.integrity import LostDatabase, expect, faults, mark
from sojourn.store.migrations.upgrade import SchemaTooNew

DATABASE = "sojourn.db"
_ADVICE = "put its backup in its place, or choose another folder with --data"


async def open_store(opener: Callable[..., Awaitable[Database]], path: Path) -> Database:
    """The store of the database at `path`, which is made when there never was one. Raises ServiceFailed."""
    try:
        expect(path)
        store = await opener(path)
    except CannotOpen as error:
        if error.full:
            raise ServiceFailed(
                f"the disk of {path.parent} is so full that the database cannot be opened ({error}). "
                "Make some room, a few megabytes are enough, and start it again"
            ) from error
        raise ServiceFailed(
            f"the database {path} cannot be used ({error}). Make it readable and writable for us, {_ADVICE}"
        ) from error
    except SchemaTooNew as error:
        raise ServiceFailed(f"the database {path} cannot be used: {error}") from None
    except LostDatabase as error:
        raise ServiceFailed(str(error)) from None
    mark(path)
    return store


@asynccontextmanager
async def explained(path: Path) -> AsyncIterator[None]:
    """A start in this block that fails, whatever the exception, fails because of damage if there is any."""
    try:
        yield
    except (ServiceFailed, OSError):
        raise
    except Exception as error:
        found = await asyncio.to_thread(faults, path)
        if not found:
            raise
        raise ServiceFailed(f"the database {path} is damaged ({found[0]}): {_ADVICE}") from error
