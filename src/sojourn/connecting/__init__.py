"""Gives a program a ready client of Qiskit: of a server that is somewhere, or of one that is started for it.

Both use public parameters of the client only. Some addresses can be given to it by the environment alone:
they stand there while the client is made, and the environment is as before when the call returns. Qiskit and
its client are imported by the calls, not by this module.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from sojourn.embedded import Embedded
from sojourn.embedded_environment import PROCESS
from sojourn.environment import CLEARED, around_proxies, variables

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

    from sojourn.connecting.local_service import LocalService

_SUFFIXES = ("/experimental/api/v1", "/api/v1", "/sojourn/v1")
_IAM = (
    "iam.cloud.ibm.com",
    "private.iam.cloud.ibm.com",
    "iam.test.cloud.ibm.com",
    "private.iam.test.cloud.ibm.com",
)
"""Where the client sends a key when nothing says otherwise."""
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: port 9 is `discard`, which nothing serves."""


class ConnectError(RuntimeError):
    """There is no server at the address, or it does not know the key or the instance. The message says
    which, and what there is instead."""


def connect(url: str, token: str, instance: str | None = None) -> QiskitRuntimeService:
    """An ordinary client of the server at `url`, such as ``http://qpu.example.org:8420``.

    Parameters:
        url: as the operator says it, or as QISKIT_IBM_URL has it.
        token: an API key.
        instance: a project, by name or CRN; None lets the client choose among those of the key.

    Raises:
        ConnectError: nothing answers there, or the key or the instance is not known. ValueError for what is
            no address.

    A saved account is neither read nor changed, and no variable of the environment stays.
    """
    base = _base(url)
    return client_of(base, token, _instance(base, token, instance))


def local(
    devices: Sequence[str | Mapping[str, Any]] | None = None,
    *,
    data: Path | str | None = None,
    config: Path | str | None = None,
    policy: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    wait: Literal["alive", "ready"] = "ready",
    patience: float = 90.0,
) -> LocalService:
    """Start a server for this program alone, and give its user's client: a `QiskitRuntimeService`.

    ``with local() as service:`` ends the server with the block. Without a block it ends with `close()`, with
    the last reference to the client, or with this process, however that ends.

    Parameters:
        devices: names of fake backends of the client (``"FakeManilaV2"`` is the device ``fake_manila``), or
            `[[devices]]` tables of the configuration; None for those of the configuration or the default.
        data: folder that outlives the server; None for a temporary one.
        config: a configuration file, as for ``sojourn serve --config``.
        policy, server: settings of these sections of the configuration.
        wait: "ready" waits until every device can run jobs, "alive" only until the server answers.
        patience: seconds until that.

    Raises:
        EmbeddedError: the server did not come up; the message ends with the end of its log.
    """
    running = Embedded(
        None if data is None else Path(data),
        config=None if config is None else Path(config),
        devices=None if devices is None else [_device(each) for each in devices],
        policy=policy,
        server=server,
        wait=wait,
        patience=patience,
    ).start()
    try:
        from sojourn.connecting.local_service import LocalService

        with client_variables(running.url, running.local_key, None):
            return LocalService(running, proxies=only_to(running.url))
    except BaseException:
        running.stop()
        raise


def client_of(url: str, token: str, instance: str | None) -> QiskitRuntimeService:
    """As `connect`, for a caller that knows the server, the key and the CRN of the instance."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    with client_variables(url, token, instance):
        return QiskitRuntimeService(proxies=only_to(url))


def client_variables(url: str, token: str, instance: str | None) -> AbstractContextManager[None]:
    """A context in which a client that is made finds this server; then the environment is as it was."""
    return PROCESS.borrowed(variables(url, token, instance=instance) | around_proxies(url), CLEARED)


def only_to(url: str) -> dict[str, Any]:
    """The client's parameter `proxies` that keeps its requests away from IBM's hosts.

    The client reads the address of the token service from the environment again when it makes another
    connection (a copy of a backend, a further instance), and without one it takes IBM's. Those hosts get a
    proxy that is not there; one that is named with its host goes before the proxies of the environment. A
    server over plain http, for which nobody needs a proxy, is called directly, and any other host not at all.
    (Through a proxy the client would repeat a submit whose connection is cut, which it does not otherwise.)
    """
    blocked = {f"https://{host}": _NOWHERE for host in _IAM}
    address = urlsplit(url)
    if address.scheme == "http":
        blocked |= {"http": _NOWHERE, "https": _NOWHERE, f"http://{address.hostname}": ""}
    return {"urls": blocked}


def _base(url: str) -> str:
    """The address without a path that only a client adds. ValueError for none."""
    address = urlsplit(url.strip())
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"url is {url!r}; it must be http://HOST:PORT or https://HOST")
    base = url.strip().rstrip("/")
    for suffix in _SUFFIXES:
        base = base.removesuffix(suffix)
    return base


def _instance(base: str, token: str, wanted: str | None) -> str | None:
    """The CRN of the instance `wanted`; None when none is. Raises ConnectError.

    The client swallows what a server says against a key, and shows no devices; so it is asked here first.
    """
    import httpx

    secure = base.startswith("https:")
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")  # as the client has it
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=bundle) if secure and bundle else True
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx.Client(verify=verify, trust_env=secure, timeout=30.0, follow_redirects=True) as http:
            reply = http.get(f"{base}/sojourn/v1/instances", headers=headers)
        found = reply.json()
        if reply.status_code != 200:
            raise ConnectError(f"the server at {base} refused the key: {found['error']['message']}")
        known = {str(each["name"]): str(each["crn"]) for each in found["instances"]}
    except httpx.HTTPError as error:
        raise ConnectError(f"no server answers at {base} ({error})") from None
    except (ValueError, KeyError, TypeError):
        raise ConnectError(f"what answers at {base} is not a Sojourn server") from None
    if wanted is None or wanted == "auto":
        return None
    if wanted in known.values():
        return wanted
    if wanted not in known:
        raise ConnectError(f"this key has no instance {wanted!r}; it has: {', '.join(known) or 'none'}")
    return known[wanted]


def _device(wanted: str | Mapping[str, Any]) -> dict[str, Any]:
    """The configuration's table of a device; a name is that of a fake backend."""
    if not isinstance(wanted, str):
        return dict(wanted)
    words = re.findall(r"[A-Z][a-z]*|\d+Q?|[a-z]+", wanted.removesuffix("V2"))
    return {"name": "_".join(words).lower(), "driver": "fake", "options": {"backend": wanted}}
