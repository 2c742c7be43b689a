"""What the pages name is there: files, packages, links, pictures; and each decision has its parts."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
CODE = sorted(
    path
    for folder in ("src", "tests", "bench", "examples", "docs")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    relative = [target for target in targets if "://" not in target]
    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_the_repository_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|bench|docs|examples|packaging)/[\w./*-]+)`", text)
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_every_module_that_the_architecture_page_names_exists() -> None:
    named = re.findall(r"`((?:\w+/)+[\w.]+)`", (DOCS / "architecture.md").read_text(encoding="utf-8"))
    assert [
        path for path in named if not any((at / path).exists() for at in (ROOT, ROOT / "src/sojourn"))
    ] == []
    assert len(named) > 10


def test_the_code_cites_no_page_that_is_not_in_the_repository() -> None:
    cited = re.compile(r"[\w./-]*[\w-]\.md\b")
    absent = [
        f"{name_of(path)}: {page}"
        for path in CODE
        for page in cited.findall(path.read_text(encoding="utf-8"))
        if not any((place / page).exists() for place in (ROOT, DOCS, DOCS / "decisions", path.parent))
    ]
    assert absent == []


def test_the_architecture_page_has_the_packages_in_the_order_of_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["name"].startswith("Layers"))
    rank = {
        package.strip().removeprefix("sojourn."): number
        for number, layer in enumerate(layers)
        for package in layer.split("|")
        if "__main__" not in layer
    }
    section = (DOCS / "architecture.md").read_text(encoding="utf-8").split("## Packages and layers")[1]
    rows = re.findall(r"(?m)^\| (`.*?`(?:, `.*?`)*) \|", section.split("\n## ")[0])
    shown = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert set(shown) == set(rank)
    assert [rank[name] for name in shown] == sorted(rank[name] for name in shown)


def test_the_picture_of_the_architecture_is_what_its_script_draws() -> None:
    spec = importlib.util.spec_from_file_location("architecture", DOCS / "diagrams" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = (DOCS / "diagrams" / "architecture.svg").read_text(encoding="utf-8")
    assert module.picture() == drawn, "run `python docs/diagrams/architecture.py`"
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    steps = re.findall(r"(?m)^(\d+)\. ", page)
    assert sorted(number for number, _ in module.ARROWS if number) == steps


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_a_status_a_context_a_choice_and_consequences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    number = page.name[:4]
    assert re.match(rf"# {number}: [A-Z]", text)
    assert re.search(r"(?m)^Status: (proposed|accepted|superseded by \d{4})", text)
    parts = re.findall(r"(?m)^## (.*)$", text)
    assert parts[:2] == ["Context", "Choice"]
    assert parts[-1] == "Consequences"
    assert f"[{number}]({page.name})" in (DOCS / "decisions/index.md").read_text(encoding="utf-8")
    assert f"decisions/{page.name}" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
