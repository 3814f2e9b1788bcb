"""The soft limit of RLIMIT_NOFILE that a shell sets (1,024) does not limit a server's sockets."""

import subprocess
import sys

from freight.supervisor import nginx_configuration

SCRIPT = """
import resource
from freight.server import serve
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
limit = serve.raise_descriptor_limit()
assert (limit, limit) == resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
print(limit)
"""


def test_a_server_raises_its_descriptor_limit_to_the_hard_limit_and_returns_it() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert int(result.stdout) > 256


def test_nginx_gets_the_hard_limit_up_to_65536() -> None:
    assert 256 < nginx_configuration.descriptors_per_worker() <= 65_536
