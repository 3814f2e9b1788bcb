"""Logs turn over while another process writes to them."""

import os
from pathlib import Path

import pytest

from freight.embedded import files


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a log; logs turn over beyond 100 bytes."""
    monkeypatch.setattr(files, "_MAX_LOG_BYTES", 100)
    return tmp_path / "api-1.log"


def test_a_large_log_turns_over_while_it_is_open_and_three_older_ones_are_kept(log: Path) -> None:
    writer = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(6):
        os.write(writer, b"%d" % number * 101)
        files.rotate_log(log)
    os.write(writer, b"new")
    os.close(writer)

    contents = {path.name: path.read_bytes()[:3] for path in log.parent.iterdir()}
    assert contents == {"api-1.log": b"new", "api-1.log.1": b"555", "api-1.log.2": b"444", "api-1.log.3": b"333"}


def test_a_small_log_stays_and_a_missing_one_is_none(log: Path) -> None:
    files.rotate_log(log)
    log.write_bytes(b"x" * 100)
    files.rotate_log(log)

    assert [path.name for path in log.parent.iterdir()] == ["api-1.log"]
