"""The garbage collector of a server does not traverse all objects while sockets connect."""

import subprocess
import sys

SCRIPT = """
import gc
from freight.server import serve
serve.tune_garbage_collector()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
generations = []
gc.callbacks.append(lambda phase, info: phase == "start" and generations.append(info["generation"]))
objects = [[] for _ in range(200_000)]
print(len(generations), generations.count(2))
"""


def test_many_new_objects_cost_few_collections_and_none_of_the_oldest_generation() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    collections, full_collections = map(int, result.stdout.split())
    assert collections < 30
    assert full_collections == 0
