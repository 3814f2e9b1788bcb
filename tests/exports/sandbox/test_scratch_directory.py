"""Scratch directories of renderers are removed, also after a kill."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from exports.sandbox.scratch_directory import ScratchDirectory, remove_orphaned

OWNER = """
from exports.sandbox.scratch_directory import ScratchDirectory
print(ScratchDirectory().path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def add_fonts(path: str) -> Path:
    """Make the directory look two minutes old, with a font in it, and return its path."""
    directory = Path(path)
    (directory / "fonts").mkdir()
    (directory / "fonts" / "a.ttf").write_bytes(b"x")
    os.utime(directory, (time.time() - 120,) * 2)
    return directory


def test_the_directory_of_a_killed_process_is_removed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout
    orphaned = add_fonts(owner.stdout.readline().decode().strip())

    remove_orphaned()
    assert orphaned.exists()  # its owner lives

    owner.kill()
    owner.communicate()
    remove_orphaned()
    assert not orphaned.exists()


def test_a_new_directory_is_left_alone(temporary: Path) -> None:
    young = temporary / "freight-renderer-young"
    young.mkdir()

    remove_orphaned()

    assert young.exists()


def test_links_files_and_other_names_are_left_alone(temporary: Path) -> None:
    precious = temporary / "precious"
    precious.mkdir()
    add_fonts(str(precious))
    (temporary / "freight-renderer-link").symlink_to(precious)
    (temporary / "freight-renderer-file").touch()

    remove_orphaned()

    assert sorted(path.name for path in temporary.iterdir()) == [
        "freight-renderer-file",
        "freight-renderer-link",
        "precious",
    ]
    assert (precious / "fonts" / "a.ttf").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a directory")
def test_the_directory_of_another_user_is_left_alone(temporary: Path) -> None:
    foreign = temporary / "freight-renderer-foreign"
    foreign.mkdir()
    add_fonts(str(foreign))
    os.chown(foreign, 12345, 12345)

    remove_orphaned()

    assert foreign.exists()


def test_removing_twice_closes_no_other_descriptor(temporary: Path) -> None:
    scratch_directory = ScratchDirectory()
    scratch_directory.remove()
    with (temporary / "opened meanwhile").open("w") as other:  # reuses the number of the lock's descriptor
        scratch_directory.remove()

        assert other.write("x") == 1
    assert [path.name for path in temporary.iterdir()] == ["opened meanwhile"]
