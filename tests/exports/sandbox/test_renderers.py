"""Renderers are confined, timed and replaced; no content of a document makes them fetch anything."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
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
from PIL import Image

from exports.sandbox import pool as pools
from exports.sandbox.pool import PoolBusy, RendererPool, Task, TaskFailed
from tests.drills.harness.waiting import comes_true
from tests.exports import pdf_reader

REPORT: dict[str, Any] = {
    "title": "T", "organisation": "O", "foot": "", "factRows": [], "tiles": [], "bars": [], "chartText": "",
    "legend": [], "columns": [["A", 100, False]], "rows": [["x"]], "empty": "Nothing",
}  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> Iterator[RendererPool]:
    started = RendererPool(1)
    yield started
    started.close()


def page(**changes: Any) -> Task:
    return Task("page", {"template": "report.html", "context": REPORT | changes, "pictures": []})


@contextmanager
def listener() -> Iterator[tuple[int, list[Any]]]:
    """Run a local server; yields its port and the addresses that connected."""
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                connections.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1], connections
        finally:
            # Wakes the thread in accept(); close() alone does not.
            server.shutdown(socket.SHUT_RDWR)


def test_user_input_is_text_and_fetches_nothing(pool: RendererPool) -> None:
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

        result = pool.run(page(rows=[[text] for text in nasty], title=nasty[0], organisation=nasty[1]))

    page_text = pdf_reader.text(result.content).replace(" ", "")
    assert [text for text in nasty if text.replace(" ", "") not in page_text] == []
    assert (connections, result.metadata["refused"]) == ([], 0)
    with pdf_reader.open_pdf(result.content) as pdf:
        assert "/EmbeddedFiles" not in pdf.Root.get("/Names", {})
        assert "root:" not in pdf_reader.text(result.content)


def test_unescaped_markup_could_fetch_nothing_either(pool: RendererPool) -> None:
    """The second line of defence, should a template forget to escape."""
    with listener() as (port, connections):
        sources = (f"http://127.0.0.1:{port}/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/css,a{}")
        # The one value of the templates that is not text: a colour, a constant in production.
        colour = "".join(f"red;background-image:url({source});" for source in sources)

        result = pool.run(page(legend=[["x", "1", colour]]))

    assert connections == []
    assert result.metadata["refused"] >= 1


def test_user_input_is_text_for_typst_too(pool: RendererPool) -> None:
    nasty = ['#import "@preview/x:1.0.0"', '#read("/etc/passwd")', "$ sum $ *bold* _x_ @label <label>", "#panic()"]
    context = REPORT | {
        "rows": [[text] for text in nasty], "facts": [], "chart": "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "chartText": "x", "first": 0, "numbered": True, "tiles": [["a", "1"]],
    }  # fmt: skip

    result = pool.run(Task("typeset", {"context": context, "goesOn": False}))

    page_text = pdf_reader.text(result.content)
    assert [text for text in nasty if text not in page_text] == []


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_off_picture_is_refused_also_where_a_page_was_drawn_before(
    pool: RendererPool, format_name: str, share: float
) -> None:
    """WeasyPrint has Pillow fill up truncated pictures, in its whole process: pool has only one."""
    target = io.BytesIO()
    Image.frombytes("RGB", (200, 200), random.Random(7).randbytes(200 * 200 * 3)).save(target, format_name)
    whole = target.getvalue()
    pool.run(page())

    with pytest.raises(TaskFailed) as refused:
        pool.run(Task("picture", {}, [whole[: int(len(whole) * share)]]))

    assert refused.value.reason
    assert pool.run(Task("picture", {}, [whole])).metadata["width"] == 200


def test_a_task_past_its_deadline_fails_and_the_next_succeeds(pool: RendererPool) -> None:
    slow = page(rows=[["x" * 200] * 1 for _ in range(20_000)])

    with pytest.raises(TaskFailed, match="TooLong"):
        pool.run(Task(slow.name, slow.parameters, seconds=1.0))

    assert pool.run(page()).metadata["pages"] == 1


def test_a_killed_renderer_is_replaced(pool: RendererPool) -> None:
    pool.run(page())
    [before] = pool.processes()
    os.kill(before, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before)] if psutil.pid_exists(before) else [], timeout=10)

    assert pool.run(page()).metadata["pages"] == 1
    assert pool.processes() != [before]


def test_a_failed_task_reports_only_the_type_of_its_error(pool: RendererPool) -> None:
    with pytest.raises(TaskFailed) as failure:
        pool.run(Task("page", {"template": "nowhere.html", "context": {}, "pictures": []}))

    assert str(failure.value) == "TemplateDoesNotExist"


def test_a_renderer_has_no_secrets_and_its_limits(pool: RendererPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "do-not-pass-me-on" * 4)
    fresh_pool = RendererPool(1)
    try:
        fresh_pool.warm()
        [pid] = fresh_pool.processes()
        process = psutil.Process(pid)
        # A renderer isolates itself before it answers its first task.
        fresh_pool.run(Task("join", {"title": "x", "organisation": "y"}, [pool.run(page()).content]))

        assert set(process.environ()) & {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} == set()
        assert process.rlimit(psutil.RLIMIT_AS)[1] == 2 * 1024**3
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] < 100
        assert process.net_connections() == []
    finally:
        fresh_pool.close()


def test_a_task_above_the_queue_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_WAITING", 1)
    fresh_pool = RendererPool(1)
    try:
        slow = page(rows=[["x"]] * 300)
        with ThreadPoolExecutor(6) as threads:
            futures = [threads.submit(fresh_pool.run, slow) for _ in range(6)]
            failures = [type(each.exception()) for each in futures]

        assert failures.count(PoolBusy) >= 1
        assert failures.count(type(None)) >= 2
        assert set(failures) == {PoolBusy, type(None)}
    finally:
        fresh_pool.close()


def test_renderers_die_with_their_parent() -> None:
    program = (
        "import time; from exports.sandbox.pool import RendererPool; p = RendererPool(1); p.warm();"
        " print(p.processes()[0], flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()

    assert comes_true(10, lambda: not alive(child))


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_renderer_outlives_the_thread_that_started_it() -> None:
    fresh_pool = RendererPool(1)
    try:
        thread = threading.Thread(target=fresh_pool.warm)
        thread.start()
        thread.join()
        [pid] = fresh_pool.processes()
        time.sleep(0.2)  # PDEATHSIG would have been delivered by now

        assert fresh_pool.run(page()).metadata["pages"] == 1
        assert fresh_pool.processes() == [pid]
    finally:
        fresh_pool.close()


def test_a_renderer_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fresh_pool = RendererPool(1)
    try:
        fresh_pool.run(page())
        font_files = [path for path in tmp_path.rglob("*") if path.is_file()]
    finally:
        fresh_pool.close()

    assert font_files
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_the_parent_does_not_wear_out_a_renderer() -> None:
    ballast = b"x" * (700 * 1024**2)  # more than MAX_RESIDENT_BYTES
    fresh_pool = RendererPool(1)
    try:
        fresh_pool.run(page())
        assert len(fresh_pool.processes()) == 1, len(ballast)
    finally:
        fresh_pool.close()


def test_the_shared_pool_starts_again_after_close() -> None:
    pools.shared().warm()
    before = pools.shared().processes()

    pools.close_shared()

    assert before
    assert not any(psutil.pid_exists(pid) for pid in before)
    pools.shared().warm()
    assert len(pools.shared().processes()) == 1
