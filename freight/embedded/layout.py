"""Where everything of the embedded services lies, as a pure function of FREIGHT_HOME."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from freight.embedded.errors import EmbeddedError

POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"
# The kernel takes 107 bytes; PostgreSQL puts ".lock" behind the name and people put folders before it.
LONGEST_SOCKET_PATH = 90
# Not $TMPDIR: another terminal with another environment must find the same sockets.
SHORT_ROOT = Path("/tmp")


@dataclass(frozen=True)
class Endpoints:
    """The URLs at which the embedded services of one home answer while they run."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Layout:
    """The folders and files of one home."""

    home: Path

    @property
    def database(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's working folder."""
        return self.home / "valkey"

    @property
    def logs(self) -> Path:
        """The folder of every log file."""
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        """The file whose flock says that services run here; it holds the keeper's process id."""
        return self.home / "embedded.lock"

    @property
    def sockets(self) -> Path:
        """The folder of the unix sockets: in the home, or a short one where the path would be too long."""
        inside = self.home / "run"
        if len(os.fsencode(inside / POSTGRES_SOCKET)) <= LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return SHORT_ROOT / f"freight-{os.geteuid()}-{digest}"

    @property
    def endpoints(self) -> Endpoints:
        """The URLs of both services."""
        folder = quote(str(self.sockets))
        return Endpoints(
            database_url=f"postgresql://freight@/freight?host={folder}",
            redis_url=f"unix://{folder}/{VALKEY_SOCKET}?db=0",
        )

    @property
    def superuser_url(self) -> str:
        """The URL of PostgreSQL's superuser: for tests and repairs, never for the application."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.sockets))}"

    def make_folders(self) -> None:
        """Create the home's private folders; raises EmbeddedError where one is not ours alone."""
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (self.valkey, self.logs, self.sockets):
            private_folder(folder)


def at(home: Path) -> Layout:
    """Return the layout of a home, the same one through whatever symlink it is named."""
    return Layout(Path(os.path.realpath(home)))


def endpoints(home: Path) -> Endpoints:
    """Return where the services of this home answer, whether they run or not."""
    return at(home).endpoints


def private_folder(folder: Path) -> None:
    """Create a folder of mode 0700, or check that the one there is ours alone; else EmbeddedError.

    In a shared place somebody may have put a symlink or a folder of their own under the name.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be created ({error.strerror}): set FREIGHT_HOME.") from error
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EmbeddedError(f"{folder} is not a folder of this user: remove it or set another FREIGHT_HOME.")
    if status.st_mode & 0o077:
        raise EmbeddedError(f"{folder} is open to other users: run `chmod 700 {folder}`.")
