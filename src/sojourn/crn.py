"""Writes and reads CRNs, the names that the Qiskit client has for instances; an instance is a project here.

A leaf: standard library only. The parts of a CRN are separated by colons. The client reads the region and
the account of an instance from it; the GUID is the project's, and all other parts are the same everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

START = "crn:"
LONGEST = 512
"""Characters of the longest CRN that a request may name."""


class Parts(NamedTuple):
    """What a CRN says of its instance; "" for what it leaves out."""

    region: str
    account: str


def of(account: str, guid: str) -> str:
    """The CRN of the project with this GUID in the account with this id."""
    return f"{START}v1:bluemix:public:quantum-computing:us-east:a/{account}:{guid}::"


def is_crn(text: str) -> bool:
    """Whether it is meant as a CRN, and not as the name of a project."""
    return text.startswith(START)


def parts(text: str) -> Parts:
    """Take a CRN apart."""
    found = [*text.split(":"), *[""] * 8]
    return Parts(region=found[5], account=found[6].removeprefix("a/"))
