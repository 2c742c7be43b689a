"""Which mutants of the core survived, held against the page that explains them. Run by `make mutants`.

    python -m tests.mutants          fails when one survived that docs/mutants.md does not explain
    python -m tests.mutants --all    prints all survivors as rows for the page

A mutant is known by the function, the line that was changed, and what it became; numbers change too often.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "mutants.md"
MUTMUT = Path(sys.executable).parent / "mutmut"
UNKILLED = ("survived", "suspicious", "no tests", "segfault")


class Mutant(NamedTuple):
    function: str
    was: str
    became: str

    def row(self, why: str) -> str:
        return f"| `{self.function}` | `{_cell(self.was)}` | `{_cell(self.became)}` | {why} |"


def _cell(line: str) -> str:
    return line.replace("|", "\\|").replace("`", "'")


def survivors() -> list[tuple[Mutant, str]]:
    """Those that no test has killed, with what mutmut says of each. A time-out is a kill: they hang."""
    found = []
    for line in _mutmut("results").splitlines():
        name, _, verdict = line.strip().rpartition(": ")
        if verdict in UNKILLED:
            found.append((_mutant(name), verdict))
    return found


def _mutant(name: str) -> Mutant:
    shown = _mutmut("show", name)
    changed = re.findall(r"^([+-])(?![+-])\s*(.*?)\s*$", shown, flags=re.MULTILINE)
    was, became = (" ".join(text for sign, text in changed if sign == wanted) for wanted in "-+")
    function = re.sub(r"^sojourn\.core\.|__mutmut_\d+$", "", name)
    return Mutant(re.sub(r"\.x_?ǁ?", ".", function).replace("ǁ", "."), was, became)


def _mutmut(*words: str) -> str:
    return subprocess.run([MUTMUT, *words], check=True, capture_output=True, text=True).stdout


def explained(page: str) -> set[tuple[str, str, str]]:
    """(function, was, became) of the rows of the page's table, as they stand there."""
    return set(re.findall(r"^\| `(.*?)` \| `(.*?)` \| `(.*?)` \| .+ \|$", page, flags=re.MULTILINE))


def main() -> int:
    found = survivors()
    known = explained(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else set()
    fresh = [
        (mutant, verdict)
        for mutant, verdict in found
        if (mutant.function, _cell(mutant.was), _cell(mutant.became)) not in known
    ]
    for mutant, verdict in found if "--all" in sys.argv else fresh:
        print(mutant.row(verdict))
    print(f"{len(found)} survived, {len(fresh)} of them not explained in docs/mutants.md")
    return 1 if fresh else 0


if __name__ == "__main__":
    sys.exit(main())
