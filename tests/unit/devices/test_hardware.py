"""The option `device`: where a circuit is simulated, and what is said where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from qiskit_aer import AerSimulator

from sojourn.devices.aer.methods import hardware
from sojourn.devices.aer.methods.rule import DENSITY, METHODS, MPS, PATTERNS, STABILIZER, VECTOR
from sojourn.devices.driver import DriverError, load_driver

without_gpu = pytest.mark.skipif(
    "GPU" in AerSimulator().available_devices(), reason="Aer finds a GPU on this machine"
)


@without_gpu
@pytest.mark.parametrize(
    ("driver", "options"), [("aer", {"qubits": 2}), ("fake", {"backend": "FakeManilaV2"})]
)
def test_a_device_that_wants_a_gpu_is_refused_with_what_is_missing_where_there_is_none(
    driver: str, options: Mapping[str, Any]
) -> None:
    with pytest.raises(DriverError) as caught:
        load_driver("chip", driver, {**options, "device": "GPU"})
    said = str(caught.value)
    assert said.startswith(
        f"device 'chip': option 'device' of driver '{driver}' is 'GPU'; allowed is CPU here, as "
    )
    assert "qiskit-aer" in said
    assert said.endswith("leave the option out")


def test_an_aer_without_cuda_is_told_from_one_that_finds_no_gpu() -> None:
    plain = hardware.lacking(["CPU"], {"qiskit-aer": "0.18.2"})
    assert plain is not None
    assert "(qiskit-aer 0.18.2) is built without GPUs. Install qiskit-aer-gpu there" in plain
    made = hardware.lacking(["CPU"], {"qiskit-aer-gpu-cu11": "0.18.2"})
    assert made is not None
    assert made.startswith("qiskit-aer-gpu-cu11 0.18.2 of the worker's interpreter finds no GPU")
    assert "overwritten" not in made
    both = hardware.lacking(["CPU"], {"qiskit-aer": "0.18.2", "qiskit-aer-gpu": "0.18.2"})
    assert both is not None
    assert (
        "qiskit-aer, which is installed beside it, has overwritten it: install qiskit-aer-gpu again" in both
    )
    assert hardware.lacking(["CPU", "GPU"], {}) is None


def test_state_vectors_and_density_matrices_run_on_the_gpu_and_all_else_on_the_processor() -> None:
    at = {method: hardware.used("GPU", method) for method in (*METHODS[1:], PATTERNS)}
    assert at == {DENSITY: "GPU", VECTOR: "GPU", PATTERNS: "GPU", MPS: "CPU", STABILIZER: "CPU"}
    assert {hardware.used("CPU", method) for method in at} == {"CPU"}


def test_the_methods_of_the_gpu_are_those_of_which_aer_says_so() -> None:
    text = AerSimulator.__doc__ or ""
    for method in METHODS[1:]:
        row = next(line for line in text.splitlines() if f"``{method}``" in line and line.count("|") == 3)
        says = row.split("|")[2].strip()
        assert (hardware.used("GPU", method) == "GPU") == (says == "Yes"), row
