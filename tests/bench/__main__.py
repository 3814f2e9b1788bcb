"""`make bench`: every benchmark in a process of its own, one JSON line each."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """This will run them all, or those named, and fail where one of them does."""
    every = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    failed = [
        name
        for name in every
        if (not sys.argv[1:] or name.removeprefix("bench_") in sys.argv[1:])
        and subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
    ]
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main())
