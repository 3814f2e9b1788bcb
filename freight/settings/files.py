"""Settings of exports, imports and documents."""

import re
from dataclasses import dataclass
from pathlib import Path

from freight.settings import environment


@dataclass(frozen=True)
class FileSettings:
    """Where files are kept, for how many seconds, and how large they may be."""

    export_dir: Path
    export_keep: int
    export_cache_ttl: int
    import_max_bytes: int
    import_max_rows: int
    import_keep: int
    gs1_company_prefix: str


def from_environment(home: Path) -> FileSettings:
    """Read the variables; `home` is FREIGHT_HOME."""
    return FileSettings(
        export_dir=Path(
            environment.text(
                "EXPORT_DIR",
                str(home / "exports"),
                purpose="Folder of finished background exports; shared by the processes that write and serve them.",
            )
        ).absolute(),
        export_keep=environment.duration(
            "EXPORT_KEEP", "1d", purpose="How long the file of a background export can be downloaded."
        ),
        export_cache_ttl=environment.integer(
            "EXPORT_CACHE_TTL_SECONDS",
            3600,
            low=1,
            purpose="How long a rendered PDF is cached, in seconds.",
        ),
        import_max_bytes=1024**2
        * environment.integer("IMPORT_MAX_MB", 20, low=1, high=100, purpose="The largest file of an import."),
        import_max_rows=environment.integer(
            "IMPORT_MAX_ROWS", 100_000, low=1, high=1_000_000, purpose="The most rows of an import."
        ),
        import_keep=environment.duration(
            "IMPORT_KEEP", "30d", purpose="How long the report of an import can be read."
        ),
        gs1_company_prefix=environment.read(
            "GS1_COMPANY_PREFIX", "", _gs1_prefix,
            hint="give the 4 to 12 digits that GS1 has licensed to you, without spaces.",
            purpose="The company prefix of the SSCCs on labels; without it they bear a demo prefix, and say so.",
        ),
    )  # fmt: skip


def _gs1_prefix(raw: str) -> str:
    if not re.fullmatch(r"[0-9]{4,12}", raw) or not raw.strip("0"):
        raise ValueError
    return raw
