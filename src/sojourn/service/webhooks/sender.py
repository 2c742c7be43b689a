"""Sends one message to one receiver, and says what became of it. It decides nothing about attempts.

The name is looked up, every address of it is checked, and the connection goes to one of the checked
addresses: a name that answers otherwise the second time gains nothing. No redirect is followed, no proxy of
the environment is used, and of an answer nothing is read but its head.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sojourn.service.webhooks.addresses import Addresses, Refused

if TYPE_CHECKING:
    import httpcore

LOOKUPS = 32
"""Names that may be looked up at a time: a look-up cannot be stopped."""


@dataclass(frozen=True, slots=True)
class Sent:
    """`why` is a sentence when it was not delivered."""

    delivered: bool
    why: str = ""


class Sender:
    """`limit` is the seconds for one attempt in all."""

    def __init__(self, addresses: Addresses, limit: float) -> None:
        self._addresses = addresses
        self._limit = limit
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="sojourn-lookup")
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Sent:
        """Delivered is any answer of 2xx."""
        import httpcore

        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                max_connections=None,
                max_keepalive_connections=20,
                keepalive_expiry=5.0,
                network_backend=_backend(self._addresses, self._lookups),
            )
        whole = {**headers, "content-type": "application/json", "user-agent": "sojourn"}
        try:
            async with asyncio.timeout(self._limit):
                async with self._pool.stream("POST", url, headers=_encoded(whole), content=body) as reply:
                    status = reply.status
        except TimeoutError:
            return Sent(False, f"It did not answer within {self._limit:g} s.")
        except Refused as refused:
            return Sent(False, str(refused))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            return Sent(False, f"It cannot be reached: {_said(error)}.")
        except (httpcore.TimeoutException, OSError, UnicodeError) as error:
            return Sent(False, f"It cannot be reached: {_said(error)}.")
        if 200 <= status < 300:
            return Sent(True)
        more = " Redirects are not followed." if 300 <= status < 400 else ""
        return Sent(False, f"It answered {status}.{more}")

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _backend(addresses: Addresses, lookups: ThreadPoolExecutor) -> httpcore.AsyncNetworkBackend:
    import httpcore

    class Checked(httpcore.AnyIOBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(lookups, _look_up, host, port)
            for address in found:
                addresses.check(address)
            for address in found[:-1]:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            return await super().connect_tcp(found[-1], port, timeout, local_address, socket_options)

        async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
            raise Refused(f"{path} is not an address of the network.")

    return Checked()


def _look_up(host: str, port: int) -> list[str]:
    """All addresses of the name, as numbers; at least one."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))
