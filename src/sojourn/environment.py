"""Makes the environment variables with which an unmodified Qiskit program reaches a Sojourn server.

Standard library only. It knows the two ways that need no change of the program (A and D, see
docs/connect.md), not how a key or a server is found.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from sojourn.crn import is_crn

Way = Literal["A", "D"]
Shell = Literal["sh", "fish", "powershell", "json"]

CLEARED = ("QISKIT_IBM_CHANNEL", "QISKIT_FUNCTIONS_EXPERIMENTAL")
"""Variables of an earlier way or account that would change the meaning of the ones we set."""


ADDRESSES = ("IAM_URL", "GLOBAL_SEARCH_URL", "GLOBAL_CATALOG_URL")
"""Variables that are the only way to give the client these addresses."""


def variables(url: str, key: str, *, instance: str | None = None, way: Way = "D") -> dict[str, str]:
    """The variables for the server at `url` (no path) and an API key.

    Way D lets the client look its instances up: `instance` is a name, a CRN, or None for any. Way A skips the
    look-up and needs the CRN; ValueError without one.
    """
    base = url.rstrip("/")
    found = {
        "QISKIT_IBM_TOKEN": key,
        # The client leaves a URL as it is, port and all, only when it contains this word.
        "QISKIT_IBM_URL": f"{base}/experimental/api/v1",
        # Never derived from the URL: unset, the key would be sent to a host of IBM.
        "IAM_URL": base,
    }
    if way == "A":
        if instance is None or not is_crn(instance):
            raise ValueError(
                f"way A needs the instance as a CRN (crn:v1:…), not {instance!r}; way D takes names"
            )
        return found | {"QISKIT_IBM_INSTANCE": instance, "QISKIT_FUNCTIONS_EXPERIMENTAL": "1"}
    return found | {
        # Without the word "auto" the client warns at each start that no instance was chosen.
        "QISKIT_IBM_INSTANCE": instance or "auto",
        "GLOBAL_SEARCH_URL": base,
        "GLOBAL_CATALOG_URL": f"{base}/catalog",
    }


def around_proxies(url: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What must be set besides, so that a proxy of this environment is not asked for our own host."""
    environment = os.environ if environment is None else environment
    if not any(environment.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        return {}
    host = urlsplit(url).hostname or ""
    # The lower-case name wins in most clients, so it is the one to extend when it is there.
    name = "no_proxy" if "no_proxy" in environment else "NO_PROXY"
    present = [entry for entry in environment.get(name, "").split(",") if entry]
    if host in present or "*" in present:
        return {}
    return {name: ",".join([*present, host])}


def render(found: Mapping[str, str], shell: Shell, remarks: Sequence[str] = ()) -> str:
    """Lines to be evaluated by `shell`; "json" is one object. Variables of other ways are cleared.

    `remarks` are comments for whoever reads the lines; not in JSON. They come last, and each command ends
    with a semicolon: `eval $(…)` without quotes makes one line of all, where a comment goes on to the end.
    """
    if shell == "json":
        return json.dumps(dict(found), indent=2)
    stale = [name for name in CLEARED if name not in found]
    if shell == "sh":
        lines = [f"unset {' '.join(stale)};"]
        lines += [f"export {name}={shlex.quote(value)};" for name, value in found.items()]
    elif shell == "fish":
        lines = [f"set -e {name};" for name in stale]
        lines += [f"set -gx {name} {_fish(value)};" for name, value in found.items()]
    else:
        lines = [f"Remove-Item Env:{name} -ErrorAction SilentlyContinue;" for name in stale]
        lines += [f"$Env:{name} = {_powershell(value)};" for name, value in found.items()]
    return "\n".join([*lines, *(f"# {remark}" for remark in remarks)])


def _fish(value: str) -> str:
    # Inside single quotes fish knows two escapes, for the backslash and the quote.
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
