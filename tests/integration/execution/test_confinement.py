"""What runs in a worker has no way to the keys and the database, although it has the server's user.

The kind: code of a user's that has taken over the process which decodes or runs it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.worker.confinement import landlock_version

pytestmark = pytest.mark.skipif(landlock_version() == 0, reason="the kernel has no Landlock (Linux 5.13)")

CONFINED = """
import os, sys
from pathlib import Path
from sojourn.worker.confinement import put_out_of_reach
data, other = Path(sys.argv[1]), Path(sys.argv[2])
early = os.open(data / "other.key", os.O_RDONLY)
assert put_out_of_reach(data)
parent = os.getppid()
try:
    print(eval(sys.argv[3]))
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("operator.key", "other.key"):
        (data / name).write_text("secret")
    (tmp_path / "beside").mkdir()
    (tmp_path / "link").symlink_to(data)
    return data


def tried(folder: Path, what: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(folder), str(folder.parent / "beside"), what],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "what",
    [
        "(data / 'operator.key').read_text()",
        "(other.parent / 'link' / 'operator.key').read_text()",
        "Path(f'/proc/self/cwd/{os.path.relpath(data)}/operator.key').read_text()",
        "(data / 'operator.key').write_text('mine')",
        "(data / 'new').write_text('mine')",
        "(data / 'operator.key').unlink()",
        "os.rename(data / 'operator.key', other / 'key')",
        "os.link(data / 'operator.key', other / 'key')",
        "os.truncate(data / 'operator.key', 0)",
        "open(f'/proc/{parent}/mem', 'rb')",
        "os.readlink(f'/proc/{parent}/fd/0')",
    ],
)
def test_no_way_leads_into_the_folder(folder: Path, what: str) -> None:
    assert tried(folder, what) in ("PermissionError", "OSError")
    assert (folder / "operator.key").read_text() == "secret"
    assert sorted(entry.name for entry in folder.iterdir()) == ["operator.key", "other.key"]


@pytest.mark.parametrize(
    "what",
    [
        "(other / 'file').write_text('1234')",
        "len(os.read(early, 4))",  # what was open before stays open
        "4 * (Path(sys.executable).stat().st_size > 0 and len(Path(sys.executable).read_bytes()) > 0)",
        "4 * bool(__import__('numpy').arange(3).sum())",
        "4 * bool(Path('/proc/self/statm').read_text())",
        "open('/dev/null', 'w').write('1234')",
        "4 * bool(os.listdir('/'))",
    ],
)
def test_what_a_driver_needs_goes_on(folder: Path, what: str) -> None:
    assert tried(folder, what) == "4"


@pytest.mark.skipif(landlock_version() < 6, reason="Landlock confines signals from Linux 6.12 on")
def test_it_cannot_end_the_server(folder: Path) -> None:
    assert tried(folder, "os.kill(parent, 0)") == "PermissionError"
