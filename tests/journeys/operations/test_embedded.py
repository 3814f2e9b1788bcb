"""Embedded services survive kills and crashes, and never outlive the process that started them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from freight import embedded
from tests.drills.harness import procfs
from tests.drills.harness.environment import ROOT
from tests.drills.harness.waiting import comes_true

pytestmark = pytest.mark.journey

OWNER = """
import sys, time
from pathlib import Path
from freight import embedded
services = embedded.start(Path(sys.argv[1]))
services.wait_ready()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a home with a short path, so that its sockets lie inside."""
    with tempfile.TemporaryDirectory(prefix="freight-home-") as folder:
        yield Path(folder) / "home"


@pytest.fixture
def owner(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that runs the services of the home."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()
    assert comes_true(5, lambda: not procfs.running_in(home))


def ask(home: Path, statement: str) -> object:
    with psycopg.connect(embedded.endpoints(home).database_url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_both_services_answer_at_endpoints_that_follow_from_the_home(home: Path) -> None:
    with embedded.running(home) as services:
        user = ask(home, "SELECT current_user")
        super_user = ask(home, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        pong = redis.Redis.from_url(services.endpoints.redis_url).ping()

    assert services.endpoints == embedded.endpoints(home)
    assert (user, super_user, pong) == ("freight", False, True)
    assert not procfs.running_in(home)


def test_the_database_flushes_what_it_commits(home: Path) -> None:
    with embedded.running(home, valkey=False):
        assert [ask(home, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on"
        ] * 3


def test_the_log_has_the_errors_of_statements_without_their_values(home: Path) -> None:
    statements = ("SELECT 1/0, 'geheim'", "DO $$ BEGIN RAISE EXCEPTION 'taken' USING DETAIL = 'geheim'; END $$")
    with embedded.running(home, valkey=False):
        for statement in statements:
            with pytest.raises(psycopg.DatabaseError):
                ask(home, statement)

    log = embedded.layout.at(home).logs / "postgres.log"
    assert [part in log.read_text() for part in ("division by zero", "taken", "geheim")] == [True, True, False]


def test_sockets_are_reachable_for_their_owner_alone(home: Path) -> None:
    with embedded.running(home):
        folder = embedded.layout.at(home).sockets

        assert folder.stat().st_mode & 0o777 == 0o700
        assert [port for process in procfs.running_in(home) for port in process.net_connections("inet")] == []


def test_rows_stay_over_stop_and_start(home: Path) -> None:
    with embedded.running(home, valkey=False):
        ask(home, "CREATE TABLE kept (n int)")
        ask(home, "INSERT INTO kept VALUES (7)")

    with embedded.running(home, valkey=False):
        assert ask(home, "SELECT n FROM kept") == 7


def test_one_service_alone_starts(home: Path) -> None:
    with embedded.running(home, postgres=False) as services:
        assert redis.Redis.from_url(services.endpoints.redis_url).ping()
        assert not procfs.running_in(home, "postgres")


def test_a_stale_pid_file_of_another_living_program_is_no_obstacle(home: Path) -> None:
    with embedded.running(home, valkey=False):
        stale = (home / "postgres" / "postmaster.pid").read_text().splitlines()
    (home / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *stale[1:], ""]))

    with embedded.running(home, valkey=False):
        assert ask(home, "SELECT 1") == 1


def test_rows_survive_the_kill_of_everything(home: Path, owner: subprocess.Popen[str]) -> None:
    ask(home, "CREATE TABLE kept (n int)")
    ask(home, "INSERT INTO kept VALUES (7)")
    owner.kill()
    procfs.kill_running_in(home)

    with embedded.running(home, valkey=False):
        assert ask(home, "SELECT n FROM kept") == 7


def test_nothing_is_left_five_seconds_after_the_owner_is_killed(home: Path, owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()

    assert comes_true(5, lambda: not procfs.running_in(home))


def test_nothing_is_left_after_owner_and_service_supervisor_are_killed(
    home: Path, owner: subprocess.Popen[str]
) -> None:
    keepers = [
        process for process in procfs.running_in(home) if "freight.embedded.service_supervisor" in process.cmdline()
    ]
    assert len(keepers) == 1
    owner.kill()
    keepers[0].kill()
    owner.wait()

    assert comes_true(5, lambda: not procfs.running_in(home))


def test_an_owner_killed_while_starting_leaves_nothing(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(home)], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert comes_true(10, lambda: home.exists() and len(procfs.running_in(home)) > 2)
        owner.kill()

    assert comes_true(5, lambda: not procfs.running_in(home))
    with embedded.running(home, valkey=False):
        assert ask(home, "SELECT 1") == 1


def test_a_killed_service_is_started_again(home: Path) -> None:
    with embedded.running(home) as services:
        client = redis.Redis.from_url(services.endpoints.redis_url)
        procfs.kill_running_in(home, "valkey")
        procfs.kill_running_in(home, "postgres")

        assert comes_true(10, lambda: _answers(home))
        assert client.ping()


def test_a_frozen_service_is_told_and_not_restarted(home: Path) -> None:
    with embedded.running(home) as services:
        (server,) = procfs.running_in(home, "valkey")
        notices: list[str] = []

        def is_told(words: str) -> bool:
            notices.extend(services.notices())
            return any(words in notice for notice in notices)

        server.suspend()
        try:
            assert comes_true(30, lambda: is_told(f"Valkey does not answer (process {server.pid} hangs)")), notices
        finally:
            server.resume()
        assert comes_true(30, lambda: is_told("Valkey answers again")), notices
        assert len(notices) == 2


def _answers(home: Path) -> bool:
    try:
        redis.Redis.from_url(embedded.endpoints(home).redis_url).ping()
        return ask(home, "SELECT 1") == 1
    except (psycopg.Error, redis.RedisError):
        return False


def test_a_second_start_says_who_runs_the_services(home: Path, owner: subprocess.Popen[str]) -> None:
    with pytest.raises(embedded.AlreadyRunning, match=f"run already for process {owner.pid}: postgresql://"):
        embedded.start(home).wait_ready()

    assert ask(home, "SELECT 1") == 1


def test_a_long_home_has_its_sockets_in_a_short_private_folder(home: Path) -> None:
    long = home / ("n" * 60) / ("m" * 60)
    long.mkdir(parents=True)

    with embedded.running(long, valkey=False):
        assert ask(long, "SELECT 1") == 1
        folder = embedded.layout.at(long).sockets
        assert len(str(folder)) < 60
        assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


@pytest.mark.parametrize("trick", ["symlink", "open to all", "file"])
def test_a_short_folder_that_is_not_ours_alone_is_refused(home: Path, trick: str) -> None:
    long = home / ("n" * 60) / ("m" * 60)
    folder = embedded.layout.at(long).sockets
    if trick == "symlink":
        folder.symlink_to(home.parent)
    elif trick == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)

    try:
        with pytest.raises(embedded.EmbeddedError, match=folder.name):
            embedded.start(long)
    finally:
        folder.rmdir() if folder.is_dir() and not folder.is_symlink() else folder.unlink()


def test_a_home_made_by_another_version_is_refused_with_a_sentence(home: Path) -> None:
    with embedded.running(home, valkey=False):
        pass
    (home / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(embedded.EmbeddedError, match="was made by PostgreSQL 17 and this is 18"):
        embedded.start(home, valkey=False).wait_ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; everybody else is one already")
def test_an_ordinary_user_runs_them_too(home: Path) -> None:
    nobody = 65534
    home.parent.chmod(0o755)
    home.mkdir()
    os.chown(home, nobody, nobody)
    # The one capability that is kept lets the user read a checkout and a Python in root's folders.
    command_prefix = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups",
              "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]  # fmt: skip

    with subprocess.Popen(
        [*command_prefix, sys.executable, "-c", OWNER, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "ready\n"
        assert ask(home, "SELECT current_user") == "freight"
        assert {process.uids().effective for process in procfs.running_in(home)} == {nobody}
        owner.send_signal(signal.SIGTERM)

    assert comes_true(5, lambda: not procfs.running_in(home))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another identity")
def test_root_without_user_namespaces_runs_postgresql_under_another_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = home.parent / "sitecustomize.py"
    patch.write_text(
        "from freight.embedded import processes\n"
        "def refuse(*_): raise PermissionError('unshare')\n"
        "processes.UserNamespaceIdentity.enter = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{patch.parent}:{ROOT}")

    with embedded.running(home, valkey=False):
        server = next(process for process in procfs.running_in(home) if process.name() == "postgres")
        assert server.uids().effective != 0
        assert ask(home, "SELECT 1") == 1
    monkeypatch.delenv("PYTHONPATH")

    with embedded.running(home, valkey=False):
        assert ask(home, "SELECT 1") == 1
