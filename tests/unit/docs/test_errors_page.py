"""docs/errors.md lists every error number with its meaning, and the code has no other numbers."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

from sojourn import codes

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src/sojourn"


def documented() -> dict[int, tuple[str, str]]:
    """Number to name and meaning, by the text of the module."""
    body = ast.parse(Path(codes.__file__).read_text(encoding="utf-8")).body
    found = {}
    for assignment, meaning in pairwise(body):
        if isinstance(assignment, ast.Assign):
            (name,) = assignment.targets
            assert isinstance(name, ast.Name)
            assert isinstance(meaning, ast.Expr), f"{name.id} needs a meaning below it"
            found[ast.literal_eval(assignment.value)] = (
                name.id,
                " ".join(ast.literal_eval(meaning.value).split()),
            )
    return found


def test_the_page_has_every_number_with_its_meaning() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    rows = "\n".join(
        f"| {number} | `{name}` | {meaning} |" for number, (name, meaning) in documented().items()
    )
    assert rows in page, f"the table must read:\n{rows}"


def test_every_number_is_in_order_and_there_once() -> None:
    values = [value for name, value in vars(codes).items() if name.isupper()]
    assert values == sorted(set(values))
    assert set(documented()) == set(values)


def test_no_module_writes_a_number_instead_of_its_name() -> None:
    numbers = "|".join(map(str, documented()))
    bare = re.compile(rf"code\s*(=|==|:\s*int\s*=)\s*\d{{4}}\b|(^|[(,])\s*({numbers})[,)]")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        if path != Path(codes.__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line) and "reader.integer" not in line
    ]
    assert not found
