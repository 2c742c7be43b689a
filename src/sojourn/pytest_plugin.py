"""The plugin for pytest: the fixtures `sojourn` and `sojourn_service`, and the marker `sojourn`.

pytest loads it in every run of an environment that has Sojourn, so this module imports pytest and nothing
else. A server is started when a test asks for the first fixture, and ends with the run; tests with other
settings have another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qiskit_ibm_runtime import QiskitRuntimeService

    from sojourn.testing import ScriptedServer, Sojourn

_MARKER = (
    "sojourn(ttl=…, max_time=…, devices=…, policy=…, server=…): settings of the server that the fixture "
    "`sojourn` starts; ttl and max_time in seconds or as '50ms', the others as in the sections of its "
    "configuration"
)
DEVICES: Sequence[Mapping[str, Any]] = (
    {"name": "mock", "driver": "mock", "options": {"qubits": 5}},
    {"name": "noisy", "driver": "fake", "options": {"backend": "FakeManilaV2"}},
)
_KEYS = ("ttl", "max_time", "devices", "policy", "server")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


class _Servers:
    """Those of this run, by their settings."""

    def __init__(self) -> None:
        self._of: dict[str, ScriptedServer] = {}

    def find(self, settings: dict[str, Any]) -> ScriptedServer:
        from sojourn.testing import ScriptedServer

        name = json.dumps(settings, sort_keys=True, default=str)
        if name not in self._of:
            self._of[name] = ScriptedServer(**settings).start()
        return self._of[name]

    def stop(self) -> None:
        for server in self._of.values():
            server.stop()
        self._of.clear()


@pytest.fixture(scope="session")
def _sojourn_servers() -> Iterator[_Servers]:
    servers = _Servers()
    yield servers
    servers.stop()


@pytest.fixture
def sojourn(request: pytest.FixtureRequest, _sojourn_servers: _Servers) -> Iterator[Sojourn]:
    """A server with a user of its own for the test, a clock that can be moved on, and faults on demand.

    The devices are `mock`, which answers at once and at random, and `noisy`, a fake backend of five qubits.
    """
    from sojourn.testing import Sojourn

    found = Sojourn(_sojourn_servers.find(_settings(request.node.get_closest_marker("sojourn"))))
    yield found
    found.reset()


@pytest.fixture
def sojourn_service(sojourn: Sojourn) -> QiskitRuntimeService:
    """A `QiskitRuntimeService` of the test's user on the server of the fixture `sojourn`."""
    return sojourn.service()


def _settings(marker: pytest.Mark | None) -> dict[str, Any]:
    """The arguments of `ScriptedServer`."""
    stated = {} if marker is None else dict(marker.kwargs)
    unknown = sorted(set(stated) - set(_KEYS))
    if unknown or (marker is not None and marker.args):
        what = ", ".join(unknown) or "arguments without a name"
        pytest.fail(f"the marker sojourn has no {what}; it takes {', '.join(_KEYS)}", pytrace=False)
    policy = dict(stated.get("policy", {}))
    if "ttl" in stated:
        policy["interactive_ttl"] = policy["batch_ttl"] = _seconds(stated["ttl"], "ttl")
    if "max_time" in stated:
        policy["max_time"] = _seconds(stated["max_time"], "max_time")
    found: dict[str, Any] = {"devices": list(stated.get("devices", DEVICES)), "policy": policy or None}
    return found | {"server": stated.get("server")}


def _seconds(wanted: Any, what: str) -> float:
    from sojourn.testing.durations import seconds

    try:
        return seconds(wanted, what)
    except ValueError as error:
        pytest.fail(f"the marker sojourn: {error}", pytrace=False)
