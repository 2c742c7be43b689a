"""The rights of a data folder: what is too open is closed or refused, and nothing of others' is changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sojourn.service.data.rights import Trust, check
from sojourn.service.errors import ServiceFailed

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder as the server leaves it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    for name in (
        "sojourn.db",
        "sojourn.db-wal",
        "database.created",
        "operator.key",
        "local.key",
        "server.lock",
    ):
        (folder / name).touch(mode=0o600)
    return folder


@pytest.mark.parametrize(
    ("trust", "found", "left"),
    [
        ("private", 0o777, 0o700),
        ("private", 0o755, 0o700),
        ("private", 0o750, 0o700),
        ("private", 0o701, 0o700),
        ("private", 0o700, 0o700),
        ("group", 0o2777, 0o2770),
        ("group", 0o775, 0o770),
        ("group", 0o750, 0o750),
        ("any", 0o777, 0o777),
    ],
)
def test_a_folder_of_ours_that_is_too_open_is_closed(data: Path, trust: Trust, found: int, left: int) -> None:
    data.chmod(found)
    check(data, trust)
    assert mode(data) == left


@pytest.mark.parametrize("name", ["operator.key", "local.key", "sojourn.db", "sojourn.db-wal"])
@pytest.mark.parametrize(
    ("trust", "found", "left"),
    [("private", 0o644, 0o600), ("private", 0o660, 0o600), ("group", 0o664, 0o660), ("any", 0o666, 0o666)],
)
def test_a_file_that_is_too_open_is_closed_and_the_log_says_that_a_key_may_have_been_read(
    data: Path, capsys: pytest.CaptureFixture[str], name: str, trust: Trust, found: int, left: int
) -> None:
    (data / name).chmod(found)
    check(data, trust)
    assert mode(data / name) == left
    said = capsys.readouterr().out
    assert (name in said) is (found != left)
    assert ("others may have read it" in said) is (found != left and name.endswith(".key"))


def test_a_folder_with_others_files_is_not_closed_but_refused_if_others_may_write(data: Path) -> None:
    (data / "thesis.tex").touch()
    data.chmod(0o755)
    check(data, "private")
    assert mode(data) == 0o755
    data.chmod(0o777)
    with pytest.raises(ServiceFailed, match=r"mode 0777.*chmod go-rwx.*data_folder"):
        check(data, "private")
    with pytest.raises(ServiceFailed, match="chmod o-rwx"):
        check(data, "group")
    check(data, "any")
    assert mode(data) == 0o777


@ROOT_ONLY
@pytest.mark.parametrize("name", ["", "operator.key", "sojourn.db"])
def test_what_belongs_to_somebody_else_is_refused_unless_its_group_is_trusted(data: Path, name: str) -> None:
    os.chown(data / name, 12345, 12345)
    with pytest.raises(ServiceFailed, match=r"belongs to user 12345.*runs as user 0"):
        check(data, "private")
    check(data, "group")
    check(data, "any")
