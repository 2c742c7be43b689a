"""Checks how a driver comes to be: its import, its construction, its options."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from sojourn.devices.driver import Driver, DriverError
from sojourn.driverkit.findings import Evidence, Fault, NotAsked
from sojourn.driverkit.subject import Subject

SLOW = 5.0
"""Seconds. Every start of a worker takes so long more, and each preparer as well."""

UNKNOWN = "no_such_option"

_IMPORT = """
import json, sys, threading, time
import qiskit.qpy, sojourn.devices.driver
from importlib.metadata import entry_points
point = next(p for p in entry_points(group="sojourn.drivers") if p.name == sys.argv[1])
begun = time.monotonic()
point.load()
seconds = time.monotonic() - begun
threads = [thread.name for thread in threading.enumerate()[1:]]
print()
print(json.dumps({"place": point.value, "seconds": seconds, "threads": threads}))
"""


class _Misfit:
    """A value that no option can mean."""

    def __repr__(self) -> str:
        return "<no value>"


def imports(subject: Subject) -> Evidence:
    if not isinstance(subject.wanted, str):
        raise NotAsked("the class was given, and no name of an entry point")
    if subject.wanted not in _names():
        subject.fresh()  # says which there are
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _IMPORT, subject.wanted],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if ran.returncode:
        last = (ran.stderr.strip() or ran.stdout.strip() or "without a word").splitlines()[-1]
        raise Fault(f"its import ends the interpreter (exit status {ran.returncode}): {last}")
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    warnings = []
    if found["threads"]:
        warnings.append(
            f"its import starts threads ({', '.join(found['threads'])}), which a forked worker does not have"
        )
    if found["seconds"] > SLOW:
        warnings.append(f"its import takes {found['seconds']:.1f} s, and so much longer each worker's start")
    return Evidence([f"{found['place']} in {found['seconds']:.2f} s"], warnings)


def constructs(subject: Subject) -> Evidence:
    begun = time.monotonic()
    made = subject.driver
    seconds = time.monotonic() - begun
    if not isinstance(made, Driver):
        raise Fault(f"a {type(made).__name__} is not a sojourn.devices.driver.Driver")
    if made.name != subject.name:
        raise Fault(f"it was made as {subject.name!r} and is called {made.name!r}")
    warnings = [f"it takes {seconds:.1f} s, in each new worker and preparer"] if seconds > SLOW else []
    return Evidence([f"{type(made).__module__}.{type(made).__qualname__} in {seconds:.2f} s"], warnings)


def unknown_option(subject: Subject) -> Evidence:
    said = _refusal(subject, UNKNOWN, 1)
    if said is None:
        raise Fault(
            f"the option {UNKNOWN!r} is taken without a word; `OptionReader.finish` refuses what is not known"
        )
    return Evidence([said])


def wrong_values(subject: Subject) -> Evidence:
    if not subject.options:
        raise NotAsked("it was given no options; name some to have their values checked")
    taken: list[str] = []
    refused: list[str] = []
    for option in subject.options:
        said = _refusal(subject, option, _Misfit())
        (taken if said is None else refused).append(option)
    if taken:
        raise Fault(f"any value is taken for {', '.join(map(repr, taken))}; `OptionReader` checks the types")
    return Evidence([f"refused by name: {', '.join(refused)}"])


def _refusal(subject: Subject, option: str, value: object) -> str | None:
    """How this value is refused; None when it is not. Raises `Fault` when the refusal does not help."""
    try:
        subject.fresh({**subject.options, option: value})
    except DriverError as error:
        if option not in str(error):
            raise Fault(f"the refusal of {option} = {value!r} does not name the option: {error}") from None
        return str(error)
    except Exception as error:
        raise Fault(
            f"{option} = {value!r} ends with {type(error).__name__}: {error}; a DriverError that names the "
            "option is for the operator who wrote it"
        ) from error
    return None


def _names() -> list[str]:
    from sojourn.devices.driver import driver_names

    return driver_names()
