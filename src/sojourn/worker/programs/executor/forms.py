"""The versions of the executor's schema that are read and written here, and in what they differ. Data only.

A job of any version is read into the members of v2.0, and its result is written in its own version, as the
client that sent it has a decoder for that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Form:
    """One version.

    `packed`: arrays and circuits are compressed. `apart`: each item has its own circuit, and the result says
    neither which elements a chunk had nor whose role it plays. `bare`: there is nothing but shots, items and
    two options; the result has no metadata of items. `ssv`: the newest form of a samplex; 0 for any.
    """

    version: str
    packed: bool = True
    apart: bool = False
    bare: bool = False
    ssv: int = 0

    @property
    def options(self) -> tuple[str, ...] | None:
        """The options that it has; None: those of the program."""
        return ("init_qubits", "rep_delay") if self.bare else None

    def kind(self, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """The data type in which an array goes into a result; earlier versions have four."""
        if self.packed or dtype in _FEW:
            return dtype
        return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


_FEW = frozenset(map(np.dtype, (np.bool_, np.uint8, np.float64, np.complex128)))
FEW = ("bool", "c128", "f64", "u8")
"""The data types of versions before v2.0, by the schema's names."""

CURRENT = Form("v2.0")
FORMS: Mapping[str, Form] = {
    form.version: form
    for form in (
        Form("v0.1", packed=False, apart=True, bare=True, ssv=1),
        Form("v0.2", packed=False, apart=True, ssv=2),
        Form("v1.0", packed=False, ssv=3),
        Form("v1.1", packed=False, ssv=4),
        CURRENT,
    )
}
