"""`HTTPS=1` behind nginx and a balancer that ends TLS: cookies, HSTS, redirects, and who may say it was https."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pytest_django import DjangoDbBlocker

from tests import factories
from tests.drills.harness.environment import database_url, free_port
from tests.drills.harness.nginx import Nginx
from tests.drills.harness.process import ForkLauncher, everything
from tests.drills.harness.product_stage import ProductStage
from tests.factories import PASSWORD
from tests.journeys.clients import SocketClient
from tests.journeys.credentials import MemberCredentials, create_member_credentials, handshake_status

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("committed")]

HOST = "freight.example"
# What the balancer says of a client that came by https.
BY_HTTPS = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
HSTS = "max-age=31536000; includeSubDomains; preload"


@pytest.fixture(scope="module")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ProductStage]:
    """Start a server behind nginx, whose balancer is at this machine, and one at a port that trusts no proxy."""
    folder = Path(tempfile.mkdtemp(prefix="fh-"))  # the path of a unix socket has at most 107 bytes
    socket = folder / "all-1.sock"
    nginx = Nginx(
        folder / "nginx", port=free_port(), static=folder, api=[socket], ws=[socket], balancer=["127.0.0.0/8"]
    )
    environment = {
        "DATABASE_URL": database_url(), "DATABASE_POOL_SIZE": "3", "METRICS_DIR": str(folder / "metrics"),
        "HTTPS": "1", "DEMO": "0", "ALLOWED_HOSTS": f"{HOST},127.0.0.1", "WS_CORS_ORIGINS": f"https://{HOST}",
        "TRUSTED_PROXIES": "", "RATE_LIMIT_AUTH_MAX": "100000",
    }  # fmt: skip
    roles = [everything(1, unix=socket), everything(2)]
    with django_db_blocker.unblock():
        launcher = ForkLauncher(environment, log=folder / "fork-server.log")
        stage = ProductStage(folder, roles, environment=environment, launcher=launcher, nginx=nginx)
    try:
        with stage:
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def credentials(committed: None) -> MemberCredentials:
    return create_member_credentials(factories.organization(), "dispatcher")


def get(stage: ProductStage, path: str, headers: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{stage.url}{path}", headers=headers, timeout=10)


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """Return the attributes of each cookie that an answer sets, by name."""
    return {text.partition("=")[0]: text for text in answer.headers.get_list("set-cookie")}


def test_plain_http_is_redirected_but_for_probes(stage: ProductStage) -> None:
    for path in ("/", "/login", "/api/shipments?limit=3", "/nowhere"):
        answer = get(stage, path, {"Host": HOST})
        assert (answer.status_code, answer.headers["location"]) == (301, f"https://{HOST}{path}")
        assert cookies_of(answer) == {}
    for path in ("/api/health", "/api/health/ready", "/api/health/live"):
        assert get(stage, path, {"Host": HOST}).status_code == 200


def test_a_login_by_https_gets_secure_cookies_and_hsts(stage: ProductStage) -> None:
    user = factories.user(factories.organization(), "dispatcher", password=PASSWORD)
    form = get(stage, "/login", BY_HTTPS)
    token = form.cookies["csrftoken"]

    def log_in(origin: str) -> httpx.Response:
        return httpx.post(
            f"{stage.url}/login",
            data={"email": user.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
            headers=BY_HTTPS | {"Cookie": f"csrftoken={token}", "Origin": origin},
            timeout=10,
        )

    foreign, answer = log_in(f"http://{HOST}"), log_in(f"https://{HOST}")

    assert (form.status_code, form.headers["strict-transport-security"]) == (200, HSTS)
    assert (foreign.status_code, answer.status_code) == (403, 302)
    cookies = cookies_of(form) | cookies_of(answer)
    assert {"csrftoken", "sessionid"} < set(cookies)
    assert [cookie for cookie in cookies.values() if "; Secure" not in cookie] == []
    assert "; HttpOnly" in cookies["sessionid"]


def test_only_a_trusted_proxy_says_that_a_client_came_by_https(
    stage: ProductStage, credentials: MemberCredentials
) -> None:
    bearer = {"Authorization": credentials.bearer()}

    for path in ("/login", "/api/auth/me", "/api/shipments"):  # a page, the API, the fast path
        trusted = get(stage, path, BY_HTTPS | bearer)
        forged = httpx.get(f"{stage['all-2'].url}{path}", headers=BY_HTTPS | bearer, timeout=10)
        assert (trusted.status_code, trusted.headers["strict-transport-security"]) == (200, HSTS), path
        assert (forged.status_code, forged.headers["location"]) == (301, f"https://{HOST}{path}")
        assert "strict-transport-security" not in forged.headers


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (f"https://{HOST}", 101),
        (f"http://{HOST}", 403),
        (f"https://{HOST}:8443", 403),
        (f"https://{HOST}.evil.example", 403),
        (f"https://www.{HOST}", 403),
        ("null", 403),
    ],
)
async def test_a_page_opens_a_socket_from_the_https_origin_alone(
    stage: ProductStage, credentials: MemberCredentials, origin: str, status: int
) -> None:
    headers = BY_HTTPS | {"Cookie": credentials.cookie, "Origin": origin}
    del headers["Host"]  # the client library sends one of its own
    socket = SocketClient(stage["all-2"], additional_headers=headers)
    socket._url = f"ws://127.0.0.1:{stage.port}/ws/"

    assert await handshake_status(socket) == status
