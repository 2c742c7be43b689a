"""The list of the checks in their order, and how one is made. What each looks at is in the modules beside."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from sojourn.devices.driver import DriverError
from sojourn.driverkit import answers, loading, running
from sojourn.driverkit.findings import Evidence, Fault, Finding, NotAsked, Verdict
from sojourn.driverkit.subject import Subject

_LONGEST = 1000  # characters of a sentence


@dataclass(frozen=True, slots=True)
class Check:
    """`promise` says what a driver keeps that passes it."""

    name: str
    promise: str
    look: Callable[[Subject], Evidence]


CHECKS = (
    Check("import", "it can be imported, and starts no threads by that", loading.imports),
    Check("construct", "it can be made with these options", loading.constructs),
    Check("unknown option", "an option that it does not have is refused by name", loading.unknown_option),
    Check("wrong values", "a wrong value of an option is refused by name", loading.wrong_values),
    Check("target", "its target has qubits that can be measured", answers.target),
    Check("description", "its description is plain JSON that the client can read", answers.description),
    Check("memory", "it says quickly how much memory a run needs", answers.memory),
    Check("conformance", "circuits whose results are known have these results", running.conformance),
    Check("outcomes", "outcomes have their shapes, and counts add up", running.outcomes),
    Check("seed", "the same seed gives the same outcomes", running.seed),
    Check("jobs", "a sampler and an estimator job complete", running.jobs),
    Check("stability", "its target and description are the same after a run", answers.stability),
    Check("calibration", "a calibration holds when it is applied, and not before", answers.calibration),
    Check("conditions", "it does what a job asks for, or refuses it", answers.conditions),
    Check("time", "how long its calls take", running.times),
)


def find(name: str) -> Check:
    """KeyError when there is none."""
    return {check.name: check for check in CHECKS}[name]


def examine(check: Check, subject: Subject) -> Finding:
    """Make one check. Whatever the driver raises is a fault of the driver."""
    begun = time.monotonic()
    detail = ""
    verdict: Verdict
    try:
        seen = check.look(subject)
        verdict, said = ("warn" if seen.warnings else "pass"), [*seen.warnings, *seen.seen]
    except NotAsked as skipped:
        verdict, said = "skip", [str(skipped)]
    except Fault as fault:
        verdict, said = "fail", list(fault.sentences)
    except DriverError as error:  # written for the reader
        verdict, said = "fail", [str(error)]
    except Exception as error:
        verdict, detail = "fail", traceback.format_exc()
        said = [f"it raised {type(error).__name__}: {error}"]
    evidence = tuple(" ".join(sentence.split())[:_LONGEST] for sentence in said)
    return Finding(check.name, verdict, evidence, time.monotonic() - begun, detail)
