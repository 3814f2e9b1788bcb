"""A server is not held to the 1,024 sockets that its shell would give it."""

import subprocess
import sys

from freight.supervisor import proxy

SCRIPT = """
import resource
from freight import server
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
got = server.raise_descriptors()
assert (got, got) == resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
print(got)
"""


def test_a_server_raises_what_it_may_have_open_to_the_hard_limit_and_says_so() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert int(result.stdout) > 256


def test_the_proxy_gets_as_many_within_reason() -> None:
    assert 256 < proxy.descriptors_per_worker() <= 65_536
