"""Child processes that cannot outlive their parent, and the user id under which PostgreSQL runs."""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from freight.embedded.errors import EmbeddedError

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x1000_0000

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signum: signal.Signals) -> None:
    """Have the kernel send this process the signal when the thread that forked it ends (PR_SET_PDEATHSIG)."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    when_orphaned: signal.Signals,
    identity: "Identity | None" = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, its output appended to `log`; `when_orphaned` is sent if we die."""
    run_as = identity or Identity()
    parent = os.getpid()

    def prepare() -> None:
        run_as.enter()
        die_with_parent(when_orphaned)
        if os.getppid() != parent:  # orphaned before the line above took hold
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            [*run_as.prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=prepare,
        )


def wait_until(condition: Callable[[], bool], *, seconds: float, pause: float = 0.02) -> bool:
    """Poll until `condition()` is true; returns whether that was within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def replies(path: Path, request: bytes, *, seconds: float = 1.0) -> bool:
    """Return whether the server at a unix socket sends anything in reply to a request."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        client.sendall(request)
        return bool(client.recv(1))
    return False


def pids_with_cwd(folder: Path) -> list[int]:
    """Return the ids of the processes whose working directory is `folder`: services left by a crash."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    pids.append(int(entry.name))
    return pids


class Identity:
    """The user id under which a program runs: our own, unless a subclass changes that."""

    prefix: tuple[str, ...] = ()

    def enter(self) -> None:
        """Change the user id. Called in the child, between fork and exec."""

    def adopt(self, folder: Path) -> None:
        """Give a folder that we created to this user."""


class UserNamespaceIdentity(Identity):
    """A user namespace in which our user id has another number: the files stay ours."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def enter(self) -> None:
        """Enter a user namespace that maps an ordinary user id to ours."""
        outer_uid, outer_gid = os.geteuid(), os.getegid()
        if _libc.unshare(_CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")
        # Between fork and exec: as little code as possible.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{self._uid} {outer_uid} 1"),
            ("gid_map", f"{self._uid} {outer_gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as target:  # noqa: PTH123  see above
                target.write(text)


class OtherUserIdentity(Identity):
    """Another user with CAP_DAC_OVERRIDE to enter our folders: for root in a container without user namespaces."""

    def __init__(self, uid: int, gid: int) -> None:
        self._uid, self._gid = uid, gid
        self.prefix = (
            "setpriv",
            f"--reuid={uid}",
            f"--regid={gid}",
            "--clear-groups",
            "--inh-caps=+dac_override",
            "--ambient-caps=+dac_override",
            "--pdeathsig=QUIT",  # a change of the user id clears ours
        )

    def adopt(self, folder: Path) -> None:
        """Change the owner of the folder and its content."""
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self._uid, self._gid, follow_symlinks=False)


def unprivileged_identity(program: Path, owned: Path) -> Identity:
    """Return an identity under which `program` runs; `owned` is its data directory, which may not exist yet.

    PostgreSQL refuses root, and initdb a user id without a name. No users are created: as root the files are used
    under another number in a user namespace, or, where namespaces are forbidden, by another user who then owns the
    data directory. Raises EmbeddedError where neither works.
    """
    if os.geteuid() and _has_user_name(os.geteuid()):
        return Identity()
    names = [entry for entry in pwd.getpwall() if entry.pw_uid]
    if not names:
        raise EmbeddedError("PostgreSQL needs a user besides root in /etc/passwd: set DATABASE_URL.")
    adopted = owned.exists() and owned.stat().st_uid != os.geteuid()
    if not adopted:
        mapped = UserNamespaceIdentity(names[0].pw_uid)
        if _can_run(mapped, program, owned):
            return mapped
    if not os.geteuid():
        last = next((entry for entry in names if entry.pw_name == "nobody"), names[-1])
        uid = owned.stat().st_uid if adopted else last.pw_uid
        other = OtherUserIdentity(uid, last.pw_gid)
        if shutil.which("setpriv") and _can_run(other, program, owned):
            return other
    raise EmbeddedError(
        "PostgreSQL does not run as root, and this machine allows neither a user namespace nor setpriv: "
        "run Freight as an ordinary user, or set DATABASE_URL."
    )


def _has_user_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _can_run(identity: Identity, program: Path, owned: Path) -> bool:
    # Within a namespace root may not enter other users' folders: try what PostgreSQL will do.
    probe = '"$0" --version && test -w "$1"'
    command = [*identity.prefix, "/bin/sh", "-c", probe, str(program), str(owned.parent)]
    try:
        return not subprocess.run(
            command,
            preexec_fn=identity.enter,
            check=False,
            capture_output=True,
        ).returncode
    except (OSError, subprocess.SubprocessError):
        return False
