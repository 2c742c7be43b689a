"""To which addresses a webhook may make the server connect."""

from __future__ import annotations

import pytest

from sojourn.service.errors import BadRequest
from sojourn.service.webhooks.addresses import Addresses, Refused, check_url

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
OTHERS = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fd00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_used(address: str) -> None:
    Addresses(()).check(address)


@pytest.mark.parametrize("address", OTHERS)
def test_others_are_refused_unless_they_are_allowed(address: str) -> None:
    with pytest.raises(Refused, match=r"not a public address.* \(allow of \[webhooks\]\)"):
        Addresses(()).check(address)
    with pytest.raises(Refused):
        Addresses(["203.0.113.0/24", "2001:db8:1::/48"]).check(address)
    Addresses(["0.0.0.0/0", "::/0"]).check(address)


def test_a_network_of_ipv4_counts_for_the_addresses_that_carry_one() -> None:
    ten = Addresses(["10.0.0.0/8"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"):
        ten.check(address)
    with pytest.raises(Refused):
        ten.check("::ffff:127.0.0.1")


@pytest.mark.parametrize(
    "url",
    ["https://example.org/x?y=1", "http://example.org:8080", "https://8.8.8.8/", "https://[2606:4700::1]/"],
)
def test_addresses_of_http_may_be_receivers(url: str) -> None:
    check_url(url, Addresses(()))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/", "not one of HTTP"),
        ("file:///etc/passwd", "not one of HTTP"),
        ("example.org/x", "not one of HTTP"),
        ("https:///x", "not one of HTTP"),
        ("https://u:p@example.org/", "a user, a password or a fragment"),
        ("https://example.org/#x", "a user, a password or a fragment"),
        ("https://example.org:99999/", "not valid"),
        ("https://[::1/", "not valid"),
        ("https://example.org/a b", "printable ASCII"),
        ("https://example.org/\r\nx: y", "printable ASCII"),
        ("https://exämple.org/", "printable ASCII"),
        ("https://example.org/" + "x" * 2000, "at most 2000"),
        ("http://127.0.0.1:8420/", "not a public address"),
        ("http://[::1]:8420/", "not a public address"),
        ("http://169.254.169.254/latest/", "not a public address"),
    ],
)
def test_what_cannot_be_a_receiver_is_refused_with_a_reason(url: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check_url(url, Addresses(()))
