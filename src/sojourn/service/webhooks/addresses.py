"""To which addresses the server may be made to connect by somebody who is not its operator.

Public ones, and the networks that the operator allows. An IPv6 address that carries an IPv4 address counts as
that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from sojourn.service.errors import BadRequest

LONGEST = 2000
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """An address to which nothing is delivered; one sentence says why."""


class Addresses:
    """`allow` are networks, such as `10.0.0.0/8`, that may be used although they are not public."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._allow = [ip_network(each) for each in allow]

    def check(self, text: str) -> None:
        """An address as numbers. Raises Refused."""
        address = ip_address(text)
        inner = _inner(address)
        for each in (address, inner):
            if any(each.version == net.version and each in net for net in self._allow):
                return
        if not inner.is_global or inner.is_multicast or inner.is_reserved:
            raise Refused(
                f"{text} is not a public address, and not one of those that the operator allows "
                "(allow of [webhooks])."
            )


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def check_url(text: str, addresses: Addresses) -> None:
    """Raises BadRequest for what cannot be the address of a receiver; names are looked up when it is used."""
    said = f"The address {text[:100]!r}"
    if len(text) > LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest(
            f"{said} has {len(text)} characters; an address has at most {LONGEST}, printable ASCII without "
            "spaces. Encode other characters with %."
        )
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise BadRequest(f"{said} is not valid: {error}. Send https://HOST/PATH.") from None
    if url.scheme not in ("https", "http") or not host:
        raise BadRequest(f"{said} is not one of HTTP. Send https://HOST/PATH.")
    if url.username is not None or url.password is not None or url.fragment:
        raise BadRequest(f"{said} has a user, a password or a fragment. Leave them out.")
    try:
        ip_address(host)
    except ValueError:
        return
    try:
        addresses.check(host)
    except Refused as refused:
        raise BadRequest(f"{said} cannot be used: {refused}") from None
