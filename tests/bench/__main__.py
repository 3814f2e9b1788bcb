"""`make bench`: every benchmark in a process of its own, one JSON line each."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run every benchmark, or those named, with the options given; return how many failed."""
    selected = [each for each in sys.argv[1:] if not each.startswith("-")]
    options = [each for each in sys.argv[1:] if each.startswith("-")]
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    failed = [
        name
        for name in names
        if (not selected or name.removeprefix("bench_") in selected)
        and subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *options], check=False).returncode
    ]
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main())
