"""Folders of renderers: gone with them, and after a kill with the next who looks."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from exports.sandbox.scratch_directory import ScratchDirectory, remove_orphaned

OWNER = """
from exports.sandbox.scratch_directory import Folder
print(Folder().path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def add_fonts(path: str) -> Path:
    """A folder as it looks two minutes after a renderer has laid its fonts there."""
    folder = Path(path)
    (folder / "fonts").mkdir()
    (folder / "fonts" / "a.ttf").write_bytes(b"x")
    os.utime(folder, (time.time() - 120,) * 2)
    return folder


def test_a_folder_of_a_killed_process_goes_with_the_next_look() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout
    orphaned = add_fonts(owner.stdout.readline().decode().strip())

    remove_orphaned()
    assert orphaned.exists()  # its owner lives

    owner.kill()
    owner.communicate()
    remove_orphaned()
    assert not orphaned.exists()


def test_a_folder_that_is_just_being_made_is_left_alone(temporary: Path) -> None:
    young = temporary / "freight-renderer-young"
    young.mkdir()

    remove_orphaned()

    assert young.exists()


def test_nothing_behind_a_link_and_nothing_of_another_name_is_removed(temporary: Path) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_another_user_is_not_ours_to_remove(temporary: Path) -> None:
    theirs = temporary / "freight-renderer-theirs"
    theirs.mkdir()
    add_fonts(str(theirs))
    os.chown(theirs, 12345, 12345)

    remove_orphaned()

    assert theirs.exists()


def test_a_folder_is_removed_once(temporary: Path) -> None:
    folder = ScratchDirectory()
    folder.remove()
    with (temporary / "opened meanwhile").open("w") as other:  # has the number of the lock's descriptor now
        folder.remove()

        assert other.write("x") == 1
    assert [path.name for path in temporary.iterdir()] == ["opened meanwhile"]
