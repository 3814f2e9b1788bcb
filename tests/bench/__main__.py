"""`make bench`: every benchmark in a process of its own, one JSON line each."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run every benchmark, or those named, with the options given; return how many failed."""
    selected = [each for each in sys.argv[1:] if not each.startswith("-")]
    options = [each for each in sys.argv[1:] if each.startswith("-")]
    folder = Path(__file__).parent
    names = [*sorted(path.stem for path in folder.glob("bench_*.py")), "websocket.bench_protocols"]
    failed = [
        name
        for name in names
        if (not selected or name.rpartition("bench_")[2] in selected)
        and subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *options], check=False).returncode
    ]
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main())
