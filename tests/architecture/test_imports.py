"""Every module of the product can be the first one that is imported: no import cycle hides behind a lucky order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("monitoring", "ratelimits", "shipments", "exports", "realtime", "freight")
# All of them together take under a minute; the rest is for a machine that is busy with other tests.
TIMEOUT_SECONDS = 300.0
# Forks a process for each module, which imports nothing of the product but this module and what it imports itself.
# A module that needs Django's registry of models is imported after `django.setup()`, which loads the models.
IMPORT_EACH_ALONE = """
import gc, importlib, os, sys, traceback
import django.db.models, orjson, prometheus_client, psycopg, psycopg_pool, redis.asyncio, structlog
from django.core.exceptions import AppRegistryNotReady

def import_alone(name):
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            importlib.import_module(name)
        except AppRegistryNotReady:
            code = 2
        except BaseException:
            print(f"--- {name}", traceback.format_exc(limit=-6), flush=True)
            code = 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

gc.freeze()
need_models = [name for name in sys.argv[1:] if import_alone(name) == 2]
django.setup()
gc.freeze()
sys.exit(any([import_alone(name) for name in need_models]))
"""


def module_names(app: str) -> list[str]:
    paths = sorted((ROOT / app).rglob("*.py"))
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in paths]
    return [".".join(each[:-1] if each[-1] == "__init__" else each) for each in parts]


@pytest.mark.parametrize("app", APPS)
def test_every_module_can_be_imported_first(app: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH_ALONE, *module_names(app)],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "freight.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )

    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr
