"""`sojourn policy`: the table of rules that a configuration gives to each device. Asks no server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sojourn.cli import output
from sojourn.cli.options import Config, Data, Json, where

_NONE = {
    "default_max_time": "as its first job may run",
    "half_life": "none: the window counts",
    "reservation_allowance": "no limit",
}
"""What it means that a field has no value."""


def policy(config: Config = None, data: Data = None, json: Json = False) -> None:
    """Show the rules that the configuration sets for each device. Does not need a server."""
    settings = where(None, None, config, data).settings()
    tables = {device.name: facts(settings.profile(device.name)) for device in settings.devices}
    if json:
        output.as_json({"devices": [{"name": name, "policy": table} for name, table in tables.items()]})
        return
    # Devices with the same rules share a column, so that a site with many devices can read it.
    columns: list[tuple[dict[str, Any], list[str]]] = []
    for name, table in tables.items():
        alike = next((names for known, names in columns if known == table), None)
        if alike is None:
            columns.append((table, [name]))
        else:
            alike.append(name)
    rows = [
        [field.replace("_", " "), *(worded(field, table[field]) for table, _ in columns)]
        for field in columns[0][0]
    ]
    output.table(["rule", *(", ".join(names) for _, names in columns)], rows, empty="no devices")


def facts(profile: Any) -> dict[str, Any]:
    """A profile as JSON: times in seconds, sets as sorted lists."""
    found: dict[str, Any] = {}
    for field in fields(profile):
        value = getattr(profile, field.name)
        if isinstance(value, frozenset):
            value = sorted(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        found[field.name] = value
    return found


def worded(field: str, value: object) -> str:
    """The value of a field as people read it."""
    if value is None:
        return _NONE[field]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field == "estimate_factor":
        return f"{value:g} times the estimate" if value else "off"
    if isinstance(value, float):
        return output.duration(value) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {output.duration(limit)}" for name, limit in value.items())
    return str(value)
