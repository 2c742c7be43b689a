"""Checks that the settings fit each other, wherever the nearest value of each is stated."""

from __future__ import annotations

from collections.abc import Iterator

from sojourn.config.profiles import Rules
from sojourn.config.sections.reservations import ReservationSettings
from sojourn.config.sections.server import ServerSettings


def check_server(server: ServerSettings) -> Iterator[str]:
    """One sentence for each pair in `[server]` that does not fit."""
    for mine, least, why, of in (
        ("memory_user_mb", 2 * server.max_body_mb, "twice server.max_body_mb", "memory_mb"),
        ("spool_user_mb", server.max_body_mb, "server.max_body_mb", "spool_mb"),
    ):
        value, whole = getattr(server, mine), getattr(server, of)
        if value < least:
            yield (
                f"server.{mine} = {value:.15g}: must be at least {least:.15g} ({why}), so that the largest "
                "request body fits"
            )
        if whole < 2 * value:
            yield (
                f"server.{of} = {whole:.15g}: must be at least {2 * value:.15g} (twice server.{mine}), so "
                "that one user cannot take all of it"
            )


def check_reservations(bounds: ReservationSettings) -> Iterator[str]:
    """One sentence if `[reservations]` leaves a project admin no time to reserve."""
    if bounds.horizon and bounds.horizon <= bounds.notice:
        yield (
            f"reservations.horizon = {bounds.horizon:.15g}: must be more than {bounds.notice:.15g} "
            "(reservations.notice), or 0 for no limit; otherwise project admins cannot reserve anything"
        )


def check_rules(rules: Rules) -> Iterator[str]:
    """One sentence for each pair of rules that does not fit."""
    allowance, shortest = rules.find("reservation_allowance"), rules.find("reservation_minimum")
    if allowance.value is not None and allowance.value < shortest.value:
        yield (
            f"{allowance.source} = {allowance.value:.15g}: must be at least {shortest.value:.15g} "
            f"({shortest.source}); otherwise nothing can be reserved"
        )
    usual, longest = rules.find("default_max_time"), rules.find("max_time")
    # The built-in value means as long as a session may last, so a lower max_time does not contradict it.
    if usual.configured and usual.value is not None and usual.value > longest.value:
        yield (
            f"{usual.source} = {usual.value:.15g}: must be at most {longest.value:.15g} ({longest.source}), "
            "the longest session"
        )
