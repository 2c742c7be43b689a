"""What a device says can be asked of it: settled from its target, whatever its driver wrote down.

The snapshot of a real device says what IBM's service did with it (pulses, raw measurement levels, credits),
and often leaves out that it runs control flow; a driver for another vendor's device knows a few fields only.
So the configuration of every device is settled here, the built-in ones included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qiskit.transpiler import Target

from sojourn.devices.driver import Facts

CONTROL_FLOW = ("if_else", "for_loop", "while_loop", "switch_case")
MAX_CIRCUITS = 10_000  # pubs in a job, for every device

_UNSPOKEN = frozenset({"barrier", "box", "break_loop", "continue_loop"})  # the client warns of these names
_PULSE_LIMITS = frozenset({"pulse_num_channels", "pulse_num_qubits", "live_data", "rep_delays"})


def settled(facts: Facts, target: Target, levels: Sequence[int] = (2,)) -> Facts:
    """`facts` with every configuration field that real devices have, true of what runs on `target`.

    A fact about the hardware stays as the driver states it, and is neutral where it states none. What can be
    asked for follows from the target and from what the service runs, and replaces what the driver states.
    `levels` are the levels of measurement that the driver has: signals (1), bits (2).
    """
    given = {key: value for key, value in facts.configuration.items() if key not in _PULSE_LIMITS}
    hardware = _hardware(facts, target)
    stated = {key: value for key, value in given.items() if value is not None or key not in hardware}
    made = {**hardware, **stated}
    made.setdefault("sample_name", _sample_name(made["processor_type"]))
    return replace(facts, configuration={**made, **_offers(made, target), "meas_levels": list(levels)})


def _hardware(facts: Facts, target: Target) -> dict[str, Any]:
    """What is said of hardware of which nothing is stated. Times as on the wire: `dt`, `dtm` in nanoseconds,
    repetition times in microseconds. Without a time step in the target there is no `dt`, and `dtm`, which the
    client reads of every device, is one nanosecond."""
    qubits = facts.num_qubits
    pause = facts.configuration.get("default_rep_delay") or 0.0
    steps = {"dtm": 1.0} if target.dt is None else {"dt": target.dt * 1e9, "dtm": target.dt * 1e9}
    return {
        **steps,
        "backend_version": facts.backend_version,
        "n_qubits": qubits,
        "max_shots": 1_000_000,
        "description": f"{qubits} qubits",
        "display_name": facts.configuration.get("backend_name", ""),
        "tags": [],
        "url": None,
        "online_date": "2024-01-01T00:00:00+00:00",
        "processor_type": {"family": "Unknown", "revision": "Unknown"},
        "quantum_volume": None,
        "clops": None,
        "clops_h": None,
        "clops_v": None,
        "coords": None,
        "coupling_map": None,
        "instruction_signatures": [],
        "timing_constraints": {
            "acquire_alignment": target.acquire_alignment or 1,
            "granularity": target.granularity or 1,
            "min_length": target.min_length or 1,
            "pulse_alignment": target.pulse_alignment or 1,
        },
        "dynamic_reprate_enabled": False,
        "rep_delay_range": [pause, pause],
        "default_rep_delay": pause,
        "rep_times": [],
        "meas_map": [[qubit] for qubit in range(qubits)],  # each qubit is measured apart from the others
        "multi_meas_enabled": bool(_control_flow(target)),
        "n_registers": 1,
        "register_map": [[1]] * qubits,
        "acquisition_latency": [],
        "conditional_latency": [],
        "channel_bandwidth": [],
        "channels": {},
        "hamiltonian": {"h_latex": ""},
        "n_uchannels": 0,
        "u_channel_lo": [],
        "uchannels_enabled": False,
        "qubit_channel_mapping": [],
        "qubit_lo_range": [],
        "meas_lo_range": [],
    }


def _offers(configuration: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """What can be asked for. Every device says ``simulator: false``: the client opens no sessions on others.

    "qasm3" among the features means dynamic circuits to clients before 0.39 and to pytket, so it goes with
    them; OpenQASM 3 text without control flow is taken by every device.
    """
    flow = _control_flow(target)
    basis = [name for name in configuration.get("basis_gates", ()) if name in target.operation_names]
    others = set(target.operation_names) - set(basis) - _UNSPOKEN
    if flow:
        others.add("store")
    return {
        "local": False,
        "simulator": False,
        "configurable": False,
        "credits_required": False,
        "memory": True,
        "conditional": "if_else" in flow,
        "max_experiments": MAX_CIRCUITS,
        "supported_instructions": [*basis, *sorted(others)],
        "supported_features": ["parameters", *(["qasm3", "dynamic_circuits"] if flow else [])],
        "input_allowed": ["runtime"],
        "allow_q_object": False,
        "allow_object_storage": False,
        "parallel_compilation": False,
        "open_pulse": False,
        "parametric_pulses": [],
        "meas_kernels": [],
        "discriminators": [],
        "measure_esp_enabled": False,
    }


def _control_flow(target: Target) -> list[str]:
    return [name for name in CONTROL_FLOW if name in target.operation_names]


def _sample_name(processor: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in processor.items())
