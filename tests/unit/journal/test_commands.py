"""`sojourn journal export` and `sojourn journal replay` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sojourn.cli.main import main
from sojourn.store import tables as t
from sojourn.store.database.sqlite import sqlite_engine
from sojourn.store.journal import put_journal
from tests.unit.journal.test_log import log


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def database(data: Path, lines: list[bytes]) -> None:
    engine = sqlite_engine(data / "sojourn.db", writer=True)
    t.metadata.create_all(engine)
    with engine.begin() as connection:
        for line in map(json.loads, lines):
            put_journal(
                connection,
                [
                    {
                        "device": line["device"],
                        "at": line["at"],
                        "kind": line["kind"],
                        "body": json.dumps(line["body"]).encode(),
                        "did": json.dumps(line.get("did", [])).encode(),
                        "digest": line.get("digest", ""),
                    }
                ],
            )
    engine.dispose()


def test_what_a_server_recorded_is_exported_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database(tmp_path, log())
    file = tmp_path / "queue.jsonl"
    assert run("journal", "export", file, "--data", tmp_path) == 0
    assert [json.loads(a) for a in file.read_bytes().splitlines()] == [json.loads(b) for b in log()]
    assert run("journal", "replay", file) == 0
    assert "15 events of 1 devices in 1 lives" in capsys.readouterr().out


def test_a_difference_is_shown_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log()
    del lines[11]
    file = tmp_path / "queue.jsonl"
    file.write_bytes(b"\n".join(lines))
    assert run("journal", "replay", file) == 1
    shown = capsys.readouterr()
    assert "First difference: line 14, device dev, at 306" in shown.out
    assert "then: start c attempt 1" in shown.out
    assert "decided differently" in shown.err
    assert run("journal", "replay", file, "--json") == 1
    assert json.loads(capsys.readouterr().out)["difference"]["number"] == 14


def test_without_a_record_the_command_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("journal", "export", "-", "--data", tmp_path) == 1
    assert "there is no database" in capsys.readouterr().err
    database(tmp_path, [])
    assert run("journal", "export", "-", "--data", tmp_path) == 1
    assert "set journal = true in [server]" in capsys.readouterr().err


def test_a_file_that_is_no_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("journal", "replay", tmp_path / "nothing.jsonl") == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "text").write_text("hello\n")
    assert run("journal", "replay", tmp_path / "text") == 1
    assert "line 1" in capsys.readouterr().err


@pytest.mark.parametrize("lines", [[], [b"\n", b"\n"], log()[:1]], ids=["empty", "blank", "a start only"])
def test_a_log_without_an_event_proves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[bytes]
) -> None:
    (tmp_path / "queue.jsonl").write_bytes(b"".join(lines))
    for flags in ((), ("--json",)):
        assert run("journal", "replay", tmp_path / "queue.jsonl", *flags) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "nothing to replay" in shown.err
