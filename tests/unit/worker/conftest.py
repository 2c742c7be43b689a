"""Hosts of the built-in devices, and payloads as the real client writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from qiskit.primitives.containers import PrimitiveResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_ibm_runtime import RuntimeEncoder
from qiskit_ibm_runtime.decoders.result_decoder import ResultDecoder

from sojourn.worker.host import DeviceHost
from sojourn.worker.protocol.types import Completed, DeviceSpec, Failed


@pytest.fixture(scope="session")
def aer() -> DeviceHost:
    return DeviceHost.load(DeviceSpec("aer", "aer", {"qubits": 12}))


@pytest.fixture(scope="session")
def manila() -> DeviceHost:
    return DeviceHost.load(DeviceSpec("ibm_manila", "fake", {"backend": "FakeManilaV2"}))


@pytest.fixture(scope="session")
def torino() -> DeviceHost:
    return DeviceHost.load(DeviceSpec("ibm_torino", "fake", {"backend": "FakeTorino"}))


@pytest.fixture(scope="session")
def mock() -> DeviceHost:
    return DeviceHost.load(DeviceSpec("bench", "mock", {"qubits": 127}))


def body(pubs: Sequence[Any], options: Mapping[str, Any] | None = None, **members: Any) -> bytes:
    """`params` as the client encodes them."""
    params = {"pubs": pubs, "options": options or {}, "version": 2, "support_qiskit": True, **members}
    return json.dumps(params, cls=RuntimeEncoder).encode()


def sampler_body(pubs: Sequence[Any], options: Mapping[str, Any] | None = None, **members: Any) -> bytes:
    return body([SamplerPub.coerce(pub) for pub in pubs], options, **members)


def estimator_body(pubs: Sequence[Any], options: Mapping[str, Any] | None = None, **members: Any) -> bytes:
    return body([EstimatorPub.coerce(pub) for pub in pubs], options, **members)


def result(host: DeviceHost, program: str, params: bytes) -> PrimitiveResult[Any]:
    """Prepare and run; decode with the client's own decoder."""
    host.prepare(program, params)
    outcome = host.run(program, params)
    assert isinstance(outcome, Completed), outcome.detail if isinstance(outcome, Failed) else outcome
    assert outcome.quantum_seconds > 0
    decoded = ResultDecoder.decode(outcome.result.decode())
    assert isinstance(decoded, PrimitiveResult)
    return decoded
