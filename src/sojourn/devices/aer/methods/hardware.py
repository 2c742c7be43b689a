"""Says on which hardware a circuit is simulated: the option `device` of the drivers `aer` and `fake`.

`device` is Aer's own word for it, so it is the word of the option too. Asking Aer what there is runs none of
its simulators, but may talk to the GPU's driver: it is asked only for a device that wants the GPU.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version

from qiskit_aer.backends.controller_wrappers import aer_controller_execute

from sojourn.devices.aer.methods.rule import DENSITY, PATTERNS, VECTOR
from sojourn.devices.driver import OptionReader

CPU, GPU = "CPU", "GPU"
HARDWARE = (CPU, GPU)
PACKAGES = ("qiskit-aer-gpu", "qiskit-aer-gpu-cu11")
"""Aer built for CUDA 12, and for CUDA 11."""

_ON_GPU = frozenset({DENSITY, PATTERNS, VECTOR})


def read(reader: OptionReader, method: str) -> str:
    """The option `device` beside that `method`. Raises `DriverError` where it cannot be had."""
    wanted = reader.take("device", (str,), CPU, " or ".join(HARDWARE))
    if wanted not in HARDWARE:
        raise reader.bad("device", wanted, " or ".join(HARDWARE))
    if wanted == CPU:
        return CPU
    if method != "automatic" and method not in _ON_GPU:
        raise reader.bad("device", wanted, f"{CPU} beside the method {method}, which has no code for a GPU")
    missing = lacking(aer_controller_execute().available_devices(), installed())
    if missing is not None:
        raise reader.bad("device", wanted, f"{CPU} here, as {missing}")
    return GPU


def used(hardware: str, method: str) -> str:
    """Where a circuit with this method runs on a device that has this hardware."""
    return GPU if hardware == GPU and method in _ON_GPU else CPU


def lacking(available: Collection[str], packages: Mapping[str, str]) -> str | None:
    """What keeps Aer from the GPU and what to do about it, None where nothing does. `available` is where Aer
    says that it can run, `packages` are the versions of its distributions that are installed."""
    if GPU in available:
        return None
    made = [name for name in PACKAGES if name in packages]
    if not made:
        told = " ".join(("qiskit-aer", packages.get("qiskit-aer", ""))).strip()
        return (
            f"the Aer of the worker's interpreter ({told}) is built without GPUs. Install {PACKAGES[0]} "
            f"there after it (CUDA 12; {PACKAGES[1]} for CUDA 11), or leave the option out"
        )
    twice = (
        f" Or qiskit-aer, which is installed beside it, has overwritten it: install {made[0]} again, as the "
        "last of the two."
        if "qiskit-aer" in packages
        else ""
    )
    return (
        f"{made[0]} {packages[made[0]]} of the worker's interpreter finds no GPU. Look whether nvidia-smi "
        f"shows one to the server's user, and at CUDA_VISIBLE_DEVICES.{twice} Else leave the option out"
    )


def installed() -> dict[str, str]:
    """The distributions of Aer in this interpreter, with their versions."""
    found = {}
    for name in ("qiskit-aer", *PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
