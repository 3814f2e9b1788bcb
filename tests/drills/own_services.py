"""A drill that writes runs here: on a PostgreSQL, a Valkey and a home of its own, which go with it.

Run as `python -m tests.drills.own_services NAME …`. `manage.py drill` replaces its process by this one, so that no
setting of the installation is left: the services start first, and Django's settings are read after that.
"""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from freight.embedded.errors import EmbeddedError
from tests.drills.harness.backing_services import BackingServices
from tests.drills.harness.environment import ROOT, blank_product_variables


def replace_this_process(options: Mapping[str, Any]) -> NoReturn:
    """Replace this process by the drill on services of its own; the options are those of `manage.py drill`."""
    flags = [f"--{name}" for name in ("quick", "traceback") if options.get(name)]
    arguments = [str(options["name"]), *flags, *(["--seed", str(options["seed"])] if "seed" in options else [])]
    environment = os.environ | blank_product_variables()
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(  # noqa: S606  our own interpreter
        sys.executable, [sys.executable, "-m", "tests.drills.own_services", *arguments], environment
    )


def main() -> None:
    """Start the services, run the drill, and remove all of it; raises SystemExit with the drill's status."""
    signal.signal(signal.SIGTERM, _end)
    from freight import command_line  # it loads Django's exceptions

    command_line.run(_run, traceback="--traceback" in sys.argv)


def _run() -> None:
    with contextlib.ExitStack() as stack:
        home = Path(os.path.realpath(tempfile.mkdtemp(prefix="freight-drill-")))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        try:
            backing = BackingServices(home)
            stack.callback(backing.stop)
            backing.launch()
            backing.wait_ready()
        except EmbeddedError as error:
            raise SystemExit(f"The drill was not run, it has no services of its own: {error}") from None
        sockets = backing.sockets
        if sockets.parent != home:  # the path would have been too long
            stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        os.environ |= _environment(home, backing)
        if not _run_drill():
            raise SystemExit(1)


def _environment(home: Path, backing: BackingServices) -> dict[str, str]:
    """Return the variables of an installation in that home."""
    return {
        "FREIGHT_HOME": str(home / "product"), "DATABASE_URL": backing.endpoints.database_url,
        "REDIS_URL": backing.endpoints.redis_url, "SECRET_KEY": secrets.token_urlsafe(48), "DEMO": "0",
        "HTTPS": "0", "LOG_LEVEL": "ERROR", "DJANGO_SETTINGS_MODULE": "freight.settings",
    }  # fmt: skip


def _run_drill() -> bool:
    # Imported here: Django reads its settings now that the environment is this drill's own.
    import django
    from django.core.management import CommandError, call_command

    django.setup()
    from tests.drills import commands

    parser = ArgumentParser(prog="manage.py drill")
    parser.add_argument("--traceback", action="store_true")
    commands.add_arguments(parser)
    options = vars(parser.parse_args())
    call_command("migrate", verbosity=0, interactive=False)
    try:
        return commands.run_here(options, out=_print, err=lambda line: print(line, file=sys.stderr))
    except CommandError as error:
        raise SystemExit(f"CommandError: {error}") from None


def _print(line: str) -> None:
    print(line, flush=True)


def _end(*_: int | FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
