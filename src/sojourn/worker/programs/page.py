"""Writes the tables of programs and options into a page: `python -m sojourn.worker.programs.page PAGE`.

Without a page it prints the two tables, with the programs that other packages have installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from sojourn import programs
from sojourn.worker.programs import registry
from sojourn.worker.programs.base import Program
from sojourn.worker.programs.options import STATUS_TEXT
from sojourn.worker.programs.pubs import PubProgram


def forms(known: Sequence[Program]) -> list[Program]:
    """The programs, each followed by its earlier form if it has one."""
    return [form for program in known for form in (program, program.earlier) if form is not None]


def program_table(known: Sequence[Program]) -> str:
    """One row for each program: what it takes, and how long a job of it may run that does not say."""
    limits = {primitive.name: primitive.limit for primitive in programs.PRIMITIVES}
    rows = [
        "| program | members of `params` | parts of a pub | default time limit (R19) |",
        "|---|---|---|---|",
    ]
    for program in forms(known):
        inputs = ", ".join(f"`{name}`" for name in program.inputs)
        parts = ""
        if isinstance(program, PubProgram):
            parts = ", ".join(program.parts[: program.least])
            parts += f"; optional: {', '.join(program.parts[program.least :])}"
        limit = limits.get(program.name)
        seconds = f"{limit:,.0f} s" if limit else "`job_limit`"
        rows.append(f"| `{program.title or program.name}` | {inputs} | {parts} | {seconds} |")
    return "\n".join(rows)


def option_table(known: Sequence[Program]) -> str:
    """One row for each option: which programs know it, what becomes of it and what is allowed."""
    users: dict[tuple[str, str, str], list[str]] = {}
    for status, text in STATUS_TEXT.items():
        for program in forms(known):
            for option in program.options.all:
                if option.status == status:
                    title = program.title or program.name
                    users.setdefault((option.name, text, option.allowed), []).append(title)
    rows = ["| option | program | what happens | allowed |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {', '.join(names)} | {text} | {allowed.replace('|', 'or')} |"
        for (name, text, allowed), names in users.items()
    ]
    return "\n".join(rows)


def filled(page: str, known: Sequence[Program]) -> str:
    """The page with each generated block as it should be. ValueError when a mark is missing."""
    for name, text in (("programs", program_table(known)), ("options", option_table(known))):
        pattern = re.compile(rf"(<!-- generated: {name} -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)
        page, count = pattern.subn(lambda m, text=text: f"{m[1]}\n{text}\n\n{m[2]}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} marks `generated: {name}`, it needs one")
    return page


def main() -> None:
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(filled(page.read_text(encoding="utf-8"), registry.built_in()), encoding="utf-8")
        return
    known = [registry.find(name) for name in programs.names()]
    sys.stdout.write(f"{program_table(known)}\n\n{option_table(known)}\n")


if __name__ == "__main__":
    main()
