"""Two servers with their own Valkey, and what tests do to them."""

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from django.conf import settings
from django.test import Client
from django.utils import timezone

from ratelimits import changes
from shipments.auth import subjects
from shipments.models import User
from tests.drills.harness.backing_services import BackingServices, ValkeyService
from tests.drills.harness.environment import database_url
from tests.drills.harness.presets import bare_stage
from tests.drills.harness.process import ProductProcess, everything
from tests.drills.harness.product_stage import ProductStage
from tests.drills.harness.waiting import comes_true

OPERATOR = subjects.installation_subject(name="operator")
GENERAL = 100_000
# The objective is two seconds; the rest is for a busy machine.
CHANGE_SECONDS = 2 + 3


def server_pair(folder: Path) -> ProductStage:
    """Return a stage of two servers of every role that trust forwarded addresses and count in their own Valkey."""
    backing = BackingServices(folder / "home", postgres=False)
    environment = {
        "DATABASE_URL": database_url(),
        "REDIS_URL": backing.endpoints.redis_url,
        "METRICS_DIR": str(folder / "metrics"),
        "HTTPS": "0",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "ADMIN_ALLOWED_NETWORKS": "10.0.0.0/8",
        "RATE_LIMIT_GENERAL_MAX": str(GENERAL),
        # No window may end during a burst.
        "RATE_LIMIT_GENERAL_WINDOW": "7d",
        "RATE_LIMIT_WS_CONNECT_WINDOW": "7d",
        "RATE_LIMIT_WS_MESSAGE_WINDOW": "7d",
        "RATE_LIMIT_WS_MESSAGE_MAX": "1000000",
        "RATE_LIMIT_WHITELIST": "batch-processor",
        "RATE_LIMIT_AUTH_MAX": "5",
    }
    return bare_stage(folder, [everything(1), everything(2)], environment, backing=backing)


@dataclass
class ServerPair:
    """The servers of the stage and its Valkey."""

    daphnes: list[ProductProcess]
    redis: ValkeyService

    @property
    def ports(self) -> list[int]:
        return [each.port for each in self.daphnes]


def unused_network() -> str:
    """Return a /64 that no other test uses."""
    return f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"


def set_key_limit(policy: str, key: str, most: int) -> None:
    """Set the limit of a key."""
    changes.set_key(by=OPERATOR, now=timezone.now(), policy=policy, key=key, most=most)


def break_redis(redis: ValkeyService, fault: str) -> None:
    """Kill or freeze Redis."""
    if fault == "killed":
        redis.kill()
    else:
        redis.freeze()


def restore_redis(redis: ValkeyService, fault: str) -> None:
    """Restart or thaw Redis."""
    if fault == "killed":
        redis.launch()
        redis.wait_ready()
    else:
        redis.thaw()


def share_counters(pair: ServerPair) -> bool:
    """Return whether both servers count in Redis: after a failure their breakers stay open for a second."""
    address = f"{unused_network()}::1"
    left = []
    for port in pair.ports:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/nothing", headers={"X-Forwarded-For": address}, timeout=30)
        left.append(int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]))
    return left[0] - left[1] == 1


async def wait_until_shared(pair: ServerPair) -> None:
    """Wait until both servers count in Redis again."""
    assert await asyncio.to_thread(comes_true, 30, lambda: share_counters(pair))


def admin_poster(daphne: ProductProcess) -> Callable[..., None]:
    """Return a function that posts to the admin page of policies as a superuser."""
    person = User.objects.create_superuser(f"root-{uuid.uuid4().hex[:8]}@example.test", None)
    browser = Client()
    browser.force_login(person)
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value

    def post(page: str, **fields: object) -> None:
        url = f"{daphne.url}/admin/ratelimits/policylimit/{page}"
        with httpx.Client(
            cookies={settings.SESSION_COOKIE_NAME: cookie}, headers={"X-Forwarded-For": "10.0.0.9"}, timeout=30
        ) as http:
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', http.get(url).text)
            assert token is not None
            answer = http.post(url, data={"csrfmiddlewaretoken": token[1], **fields})
        assert answer.status_code == 302, answer.text

    return post
