"""The paths and URLs of the embedded services, as a pure function of FREIGHT_HOME."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from freight.embedded.errors import EmbeddedError

POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"
# The kernel allows 107 bytes (sun_path), and PostgreSQL appends ".lock" to the name of its socket.
LONGEST_SOCKET_PATH = 90
# Not $TMPDIR: a process with another environment must find the same sockets. private_folder checks the owner.
SHORT_ROOT = Path("/tmp")  # noqa: S108  see above


@dataclass(frozen=True)
class Endpoints:
    """The URLs of the embedded services of one home."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Layout:
    """The folders and files of one home."""

    home: Path

    @property
    def database(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's working directory."""
        return self.home / "valkey"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        """The lock file of the running services: held by flock, its content names the process that holds it."""
        return self.home / "embedded.lock"

    @property
    def sockets(self) -> Path:
        """The folder of the unix sockets: in the home, or below /tmp where the path would be too long."""
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

    def make_folders(self) -> None:
        """Create the home's folders with mode 0700; raises EmbeddedError where another user may enter one."""
        self.make_common_folders()
        private_folder(self.valkey)

    def make_common_folders(self) -> None:
        """Create those that are needed without an embedded service, too: for logs and for sockets."""
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (self.logs, self.sockets):
            private_folder(folder)


def at(home: Path) -> Layout:
    """Return the layout of a home, with symlinks resolved."""
    return Layout(Path(os.path.realpath(home)))


def endpoints(home: Path) -> Endpoints:
    """Return the URLs of this home's services, whether they run or not."""
    return at(home).endpoints


def private_folder(folder: Path) -> None:
    """Create a folder with mode 0700; raises EmbeddedError where there is one that is not this user's alone.

    Below /tmp another user may have created a symlink or a folder under the name.
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
