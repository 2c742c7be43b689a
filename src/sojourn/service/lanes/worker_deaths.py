"""Describes the death of a worker to the user whose job ran on it."""

from __future__ import annotations

_WHAT = {
    "SIGKILL": "it was killed, most often because the machine ran out of memory",
    "SIGABRT": "native code gave up, most often because it got no memory",
    "SIGSEGV": "a fault in native code, such as a simulator's",
    "SIGBUS": "a fault in native code, such as a simulator's",
    "SIGILL": "native code for another processor, or a fault in it",
    "SIGFPE": "a fault in native code, such as a simulator's",
}


def sentence(how: str) -> str:
    """The reason that the user of a job is given for its worker's death; `how` as in `Crashed`."""
    what = _WHAT.get(how) or ("the program ended it" if how.startswith("exit ") else None)
    cause = f"{how}: {what}" if what else how
    return f"The device's worker process died while the job ran ({cause})."
