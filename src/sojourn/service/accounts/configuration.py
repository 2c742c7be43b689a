"""Notes in the audit trail what of the configuration differs from that of the last start.

Of the options of a device it is noted that they differ, and not how: drivers may ask for secrets there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.config import Settings
from sojourn.service.accounts.audit import Audit
from sojourn.service.ids import sha256
from sojourn.store import Database
from sojourn.store import audit as rows
from sojourn.store.database import bound, run_all

MOST = 50
"""Settings that an entry names; further ones are counted."""
_HIDDEN = "sha256:"


async def note_changes(settings: Settings, store: Database, audit: Audit) -> None:
    """Raises StoreFull."""
    after = by_key(settings)
    before = await store.read(rows.last_configuration)
    if before == after:
        return
    keep = bound(rows.keep_configuration, after)
    if before is None:  # the first start, or the first one that keeps it
        await store.write(keep)
        return
    changes = dict(_changes(before, after))
    named = dict(list(changes.items())[:MOST])
    entry = audit.entry(
        None, "server.configured", "configuration", changed=named, more=len(changes) - len(named) or None
    )
    await store.write(run_all, keep, entry.write)
    audit.done(entry)


def by_key(settings: Settings) -> dict[str, Any]:
    """Every setting by its key, as JSON has it; what is in a list by its name: `devices.aer.driver`."""
    found: dict[str, Any] = {}
    for section, table in settings.model_dump(mode="json").items():
        named = {each["name"]: each for each in table} if isinstance(table, list) else {"": table}
        for name, values in named.items():
            start = f"{section}.{name}." if name else f"{section}."
            for key, value in values.items():
                if section == "devices" and key == "options":
                    found |= {f"{start}options.{option}": _digest(of) for option, of in value.items()}
                else:
                    found[f"{start}{key}"] = value
    return found


def _digest(value: object) -> str:
    return _HIDDEN + sha256(json.dumps(value, sort_keys=True, default=str).encode())


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Key and [old, new]; of what is not shown "changed", "added" or "removed"."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if str(old).startswith(_HIDDEN) or str(new).startswith(_HIDDEN):
            yield key, "added" if old is None else "removed" if new is None else "changed"
        else:
            yield key, [old, new]
