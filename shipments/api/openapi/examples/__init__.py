"""Examples of every operation, one JSON file a tag: a request that the server accepts, and what it answers.

A test sends each request to the server and compares the answer with the one here; with RECORD_EXAMPLES=1 it writes
the answers anew.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@cache
def load() -> dict[str, dict[str, Any]]:
    """Return by operation: `path`, `query`, `headers` and `media` of a `request`, `status` and `response`."""
    files = sorted(FOLDER.glob("*.json"))
    return {name: example for path in files for name, example in json.loads(path.read_text()).items()}
