"""Wrong credentials: counted by address, slowed down, and bounded in memory."""

from __future__ import annotations

import pytest

from sojourn.api.http.wrong_keys import WrongKeys, network
from sojourn.buckets import REMEMBERED
from sojourn.service.errors import TooMany


def test_so_many_at_once_then_so_many_a_minute_and_every_one_is_noted() -> None:
    now = [0.0]
    noted: list[str] = []
    wrong = WrongKeys(3, 6.0, noted.append, clock=lambda: now[0])
    for _ in range(3):
        wrong.count("10.0.0.1")
    with pytest.raises(TooMany, match=r"from 10.0.0.1.*access.wrong_keys") as refusal:
        wrong.count("10.0.0.1")
    assert refusal.value.retry_after == 10
    wrong.count("10.0.0.2")  # another address has its own
    now[0] += 10
    wrong.count("10.0.0.1")
    with pytest.raises(TooMany):
        wrong.count("10.0.0.1")
    now[0] += 1e6  # never more than the bound at once
    for _ in range(3):
        wrong.count("10.0.0.1")
    with pytest.raises(TooMany):
        wrong.count("10.0.0.1")
    assert len(noted) == 11


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("", "unknown"),
        ("testclient", "testclient"),
    ],
)
def test_one_customer_of_ipv6_is_one_address(address: str, source: str) -> None:
    assert network(address) == source


def test_memory_for_addresses_is_bounded() -> None:
    wrong = WrongKeys(1, 1.0, lambda _: None, clock=lambda: 0.0)
    for number in range(REMEMBERED + 100):
        wrong.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(wrong._left) == REMEMBERED
