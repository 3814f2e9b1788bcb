"""The renderers: confined, watched, replaced; and nothing that a document says makes them fetch anything."""

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from exports.sandbox import pool as pools
from exports.sandbox.pool import Pool, PoolBusy, Task, TaskFailed
from tests.drills.harness import home_processes
from tests.exports import pdf_reader

REPORT: dict[str, Any] = {
    "title": "T", "organisation": "O", "foot": "", "factRows": [], "tiles": [], "bars": [], "chartText": "",
    "legend": [], "columns": [["A", 100, False]], "rows": [["x"]], "empty": "Nothing",
}  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    started = Pool(1)
    yield started
    started.close()


def page(**changes: Any) -> Task:
    return Task("page", {"template": "report.html", "context": REPORT | changes, "pictures": []})


@contextmanager
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A server on this machine, and who came to it."""
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def wait() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                connections.append(address)
                connection.close()

        threading.Thread(target=wait, daemon=True).start()
        try:
            yield server.getsockname()[1], connections
        finally:
            # Wakes the thread: closing alone does not.
            server.shutdown(socket.SHUT_RDWR)


def test_what_people_wrote_is_text_and_fetches_nothing(pool: Pool) -> None:
    with listener() as (port, connections):
        nasty = [
            f"<img src=http://127.0.0.1:{port}/a>",
            "<img src=file:///etc/passwd>",
            f"<link rel=attachment href=http://127.0.0.1:{port}/b>",
            "<link rel=attachment href=file:///etc/passwd>",
            f"<style>@import url(http://127.0.0.1:{port}/c);</style>",
            f"<svg><image href='http://127.0.0.1:{port}/d'/></svg>",
            f'"><script src=//127.0.0.1:{port}></script>',
            "{{ organisation }} {% include '/etc/passwd' %}",
            "<div>" * 200,
        ]

        done = pool.run(page(rows=[[text] for text in nasty], title=nasty[0], organisation=nasty[1]))

    shown = pdf_reader.text(done.content).replace(" ", "")
    assert [text for text in nasty if text.replace(" ", "") not in shown] == []
    assert (connections, done.metadata["refused"]) == ([], 0)
    with pdf_reader.open_pdf(done.content) as pdf:
        assert "/EmbeddedFiles" not in pdf.Root.get("/Names", {})
        assert "root:" not in pdf_reader.text(done.content)


def test_even_markup_of_our_own_could_fetch_nothing(pool: Pool) -> None:
    """The templates escape; were one to forget it, this stands behind it."""
    with listener() as (port, connections):
        sources = (f"http://127.0.0.1:{port}/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/css,a{}")
        # The one place of the templates that is no text: a colour, which is ours.
        colour = "".join(f"red;background-image:url({source});" for source in sources)

        done = pool.run(page(legend=[["x", "1", colour]]))

    assert connections == []
    assert done.metadata["refused"] >= 1


def test_what_people_wrote_is_no_markup_for_the_other_engine_either(pool: Pool) -> None:
    nasty = ['#import "@preview/x:1.0.0"', '#read("/etc/passwd")', "$ sum $ *bold* _x_ @label <label>", "#panic()"]
    context = REPORT | {
        "rows": [[text] for text in nasty], "facts": [], "chart": "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "chartText": "x", "first": 0, "numbered": True, "tiles": [["a", "1"]],
    }  # fmt: skip

    done = pool.run(Task("typeset", {"context": context, "goesOn": False}))

    shown = pdf_reader.text(done.content)
    assert [text for text in nasty if text not in shown] == []


def test_a_task_that_takes_too_long_is_ended_and_the_next_is_done(pool: Pool) -> None:
    slow = page(rows=[["x" * 200] * 1 for _ in range(20_000)])

    with pytest.raises(TaskFailed, match="TooLong"):
        pool.run(Task(slow.name, slow.parameters, seconds=1.0))

    assert pool.run(page()).metadata["pages"] == 1


def test_a_renderer_that_is_killed_is_replaced(pool: Pool) -> None:
    pool.run(page())
    [before] = pool.processes()
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)] if psutil.pid_exists(before) else [], timeout=10)

    assert pool.run(page()).metadata["pages"] == 1
    assert pool.processes() != [before]


def test_what_a_task_breaks_says_no_more_than_its_kind(pool: Pool) -> None:
    with pytest.raises(TaskFailed) as refused:
        pool.run(Task("page", {"template": "nowhere.html", "context": {}, "pictures": []}))

    assert str(refused.value) == "TemplateDoesNotExist"


def test_a_renderer_knows_no_secrets_and_has_its_limits(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-pass-me-on" * 4)
    fresh_pool = Pool(1)
    try:
        fresh_pool.warm()
        [pid] = fresh_pool.processes()
        process = psutil.Process(pid)
        # Its first act is to confine itself; before that it answers nothing.
        fresh_pool.run(Task("join", {"title": "x", "organisation": "y"}, [pool.run(page()).content]))

        assert set(process.environ()) & {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} == set()
        assert process.rlimit(psutil.RLIMIT_AS)[1] == 2 * 1024**3
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] < 100
        assert process.net_connections() == []
    finally:
        fresh_pool.close()


def test_too_many_who_wait_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST_WAITING", 1)
    fresh_pool = Pool(1)
    try:
        slow = page(rows=[["x"]] * 300)
        with ThreadPoolExecutor(6) as threads:
            ended = [threads.submit(fresh_pool.run, slow) for _ in range(6)]
            failures = [type(each.exception()) for each in ended]

        assert failures.count(PoolBusy) >= 1
        assert failures.count(type(None)) >= 2
        assert set(failures) == {PoolBusy, type(None)}
    finally:
        fresh_pool.close()


def test_renderers_die_with_the_process_that_started_them(tmp_path: Any) -> None:
    import subprocess
    import sys

    program = (
        "import time; from exports.sandbox.pool import Pool; p = Pool(1); p.warm();"
        " print(p.processes()[0], flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()

    assert home_processes.comes_true(10, lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_thread_that_ends_takes_no_renderer_with_it(pool: Pool) -> None:
    fresh_pool = Pool(1)
    try:
        thread = threading.Thread(target=fresh_pool.warm)
        thread.start()
        thread.join()
        [pid] = fresh_pool.processes()
        time.sleep(0.2)  # the kernel would have told it by now

        assert fresh_pool.run(page()).metadata["pages"] == 1
        assert fresh_pool.processes() == [pid]
    finally:
        fresh_pool.close()


def test_a_renderer_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh_pool = Pool(1)
    try:
        fresh_pool.run(page())
        while_it_lives = [path for path in tmp_path.rglob("*") if path.is_file()]
    finally:
        fresh_pool.close()

    assert while_it_lives  # the fonts
    assert list(tmp_path.iterdir()) == []


def test_a_large_parent_wears_no_renderer_out() -> None:
    ballast = b"x" * (700 * 1024**2)  # more than a renderer may have had
    fresh_pool = Pool(1)
    try:
        fresh_pool.run(page())
        assert len(fresh_pool.processes()) == 1, len(ballast)
    finally:
        fresh_pool.close()


def test_renderers_that_were_ended_for_all_come_again() -> None:
    pools.shared().warm()
    before = pools.shared().processes()

    pools.close_shared()

    assert before
    assert not any(psutil.pid_exists(pid) for pid in before)
    pools.shared().warm()
    assert len(pools.shared().processes()) == 1
