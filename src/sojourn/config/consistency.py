"""Owns which numbers of the rules must fit each other, wherever the nearest of each is stated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sojourn.config.sections.profiles import BUILT_IN_NUMBERS

if TYPE_CHECKING:
    from sojourn.config.sections.server import ServerSettings
    from sojourn.config.settings import Settings

_Layer = tuple[str, object]
"""The name of a table and what it states, as attributes; None is not stated."""


def faults(settings: Settings) -> Iterator[str]:
    """One sentence for each pair that does not fit: in `[server]`, a profile, `[policy]`, on a device."""
    yield from _rooms(settings.server)
    for name in settings.profiles:
        yield from _faults(_profile(settings, name))
    policy: list[_Layer] = [("policy", settings.policy), *_profile(settings, settings.policy.profile)]
    yield from _faults(policy)
    for index, device in enumerate(settings.devices):
        far = policy if device.profile is None else _profile(settings, device.profile)
        yield from _faults([(f"devices[{index}] ({device.name})", device), *far])


def _rooms(server: ServerSettings) -> Iterator[str]:
    """Else the largest body would never find room, or one user could take all of it."""
    for mine, least, of in (
        ("memory_user_mb", 2 * server.max_body_mb, "memory_mb"),
        ("spool_user_mb", server.max_body_mb, "spool_mb"),
    ):
        value, whole = getattr(server, mine), getattr(server, of)
        if value < least:
            yield (
                f"server.{mine} = {value:.15g}: it must be at least {least:.15g}, as max_body_mb is "
                f"{server.max_body_mb:.15g}; else the largest body would never find room"
            )
        if whole < 2 * value:
            yield (
                f"server.{of} = {whole:.15g}: it must be at least {2 * value:.15g}, twice {mine}; else one "
                "user could take all of it"
            )


def _profile(settings: Settings, name: str) -> list[_Layer]:
    own = settings.profiles.get(name)
    if own is None:
        return [(name, None)]
    return [(f"profiles.{name}", own), (own.base, None)]


def _faults(layers: Sequence[_Layer]) -> Iterator[str]:
    allowed, allowed_at = _nearest(layers, "reservation_allowance")
    least, least_at = _nearest(layers, "reservation_minimum")
    if allowed is not None and least is not None and allowed < least:
        yield (
            f"{allowed_at} = {allowed:.15g}: it must be at least {least:.15g}, which is {least_at}; "
            "else nothing could be reserved"
        )
    usual, usual_at = _nearest(layers, "default_max_time")
    most, most_at = _nearest(layers, "max_time")
    if usual is not None and most is not None and usual > most:
        yield (
            f"{usual_at} = {usual:.15g}: it must be at most {most:.15g}, which is {most_at}; "
            "no session lasts longer"
        )


def _nearest(layers: Sequence[_Layer], key: str) -> tuple[float | None, str]:
    """The number that counts, and where it is stated; None for one that is no number."""
    for name, table in layers:
        if table is None:
            return BUILT_IN_NUMBERS[name].get(key), f"the {key} of {name!r}"
        value = getattr(table, key, None)
        if value is not None:
            return (None if value == "root" else value), f"{name}.{key}"
    return None, ""
