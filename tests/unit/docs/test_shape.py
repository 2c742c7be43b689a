"""The source keeps its shape: small modules, small folders."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src" / "sojourn"
MODULES, LINES = 15, 500


def test_no_folder_has_more_than_15_modules() -> None:
    folders = (folder for folder in (SOURCE, *SOURCE.rglob("*")) if folder.is_dir())
    counts = {
        str(folder.relative_to(SOURCE)): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > MODULES} == {}


def test_no_module_has_more_than_500_lines() -> None:
    lengths = {
        str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8").count("\n")
        for path in SOURCE.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LINES} == {}
