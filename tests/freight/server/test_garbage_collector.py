"""A server's garbage collector does not walk through everything while sockets come."""

import subprocess
import sys

SCRIPT = """
import gc
from freight import server
server.settle_collector()
assert gc.get_freeze_count() > 10_000, gc.get_freeze_count()
looks = []
gc.callbacks.append(lambda phase, info: phase == "start" and looks.append(info["generation"]))
kept = [[] for _ in range(200_000)]
print(len(looks), sum(look == 2 for look in looks))
"""


def test_many_new_objects_that_stay_cost_few_looks_and_none_at_all_that_is_there() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    looks, whole = map(int, result.stdout.split())
    assert looks < 30
    assert whole == 0
