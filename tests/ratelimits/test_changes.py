"""Limits changed at run time: when they apply, the audit, the admin, reports and the command."""

import json
import uuid
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from ratelimits import attempts, changes, counters, limiter, overrides, policies, report
from ratelimits.models import FailedAttempts, KeyLimit, PolicyLimit, Revision
from shipments.auth import subjects
from shipments.models import AuditEntry, User
from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.django_db

OPERATOR = subjects.installation_subject(name="operator")


@pytest.fixture(autouse=True)
def environment_limits() -> Iterator[None]:
    """Start and end every test with the limits of the environment."""
    overrides._state.overrides = overrides.LimitOverrides()
    yield
    overrides._state.overrides = overrides.LimitOverrides()


@pytest.fixture
def operator(settings: Settings) -> Client:
    person = User.objects.create_superuser(f"root-{uuid.uuid4().hex[:8]}@example.test", None)
    client = Client()
    client.force_login(person)
    return client


def _key() -> str:
    return f"user:{uuid.uuid4()}"


def test_a_changed_policy_applies_until_it_is_cleared(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (20, 60)}
    changes.set_policy(by=OPERATOR, now=NOW, policy="ai", most=3, window=30)
    overrides.refresh()
    changed = policies.get("ai")

    changes.clear_policy(by=OPERATOR, now=NOW, policy="ai")
    overrides.refresh()

    assert changed == policies.Policy("ai", 3, 30)
    assert policies.get("ai") == policies.Policy("ai", 20, 60)


def test_a_row_changed_by_sql_is_noticed() -> None:
    overrides.refresh()

    PolicyLimit.objects.create(policy="ai", most=7, window=60, changed_at=NOW)
    overrides.refresh()

    assert policies.get("ai").most == 7


def test_a_refresh_without_a_change_is_one_query(django_assert_num_queries: Any) -> None:
    changes.set_policy(by=OPERATOR, now=NOW, policy="ai", most=3, window=30)
    overrides.refresh()

    with django_assert_num_queries(1):
        overrides.refresh()


def test_a_key_may_have_its_own_limit_or_none() -> None:
    strict, free, plain = _key(), _key(), _key()
    changes.set_policy(by=OPERATOR, now=NOW, policy="general", most=4, window=900)
    changes.set_key(by=OPERATOR, now=NOW, policy="general", key=strict, most=2)
    changes.set_key(by=OPERATOR, now=NOW, policy="general", key=free, most=None)
    overrides.refresh()

    passed = {
        key: sum(limiter.retry_after(limiter.check(["general"], key)) is None for _ in range(6))
        for key in (strict, free, plain)
    }

    assert passed == {strict: 2, free: 6, plain: 4}


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("address:192.0.2.7", "address:192.0.2.7"),
        ("address:2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("address:2001:db8:1:2::/64", "address:2001:db8:1:2::/64"),
        (" KEY:018F0000-0000-7000-8000-000000000000 ", "key:018f0000-0000-7000-8000-000000000000"),
    ],
)
def test_a_key_is_stored_in_its_canonical_form(given: str, stored: str) -> None:
    changes.set_key(by=OPERATOR, now=NOW, policy="general", key=given, most=5)

    assert KeyLimit.objects.get().key == stored


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"policy": "nonsense"}, "policy"),
        ({"policy": "auth"}, "policy"),
        ({"key": "somebody"}, "key"),
        ({"key": "address:300.0.0.1"}, "key"),
        ({"most": 0}, "most"),
        ({"most": 2**31}, "most"),
    ],
)
def test_an_invalid_limit_is_refused(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(changes.InvalidLimit) as refused:
        arguments: dict[str, Any] = {"by": OPERATOR, "now": NOW, "policy": "general", "key": _key(), "most": 5}
        changes.set_key(**(arguments | wrong))

    assert refused.value.field == field
    assert not KeyLimit.objects.exists()


def test_every_change_is_audited_with_before_and_after(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (20, 60)}
    changes.set_policy(by=OPERATOR, now=NOW, policy="ai", most=3, window=30)
    changes.clear_policy(by=OPERATOR, now=NOW, policy="ai")

    entries = AuditEntry.objects.filter(action="limit_change", actor_name="operator").order_by("pk")

    environment = {"max": 20, "window": 60, "source": "environment"}
    changed = {"max": 3, "window": 30, "source": "admin"}
    assert [(each.entity_id, each.before, each.after) for each in entries] == [
        ("ai", environment, changed),
        ("ai", changed, environment),
    ]


def test_a_reset_clears_the_counters_of_a_key() -> None:
    key = _key()
    for _ in range(3):
        limiter.check(["general"], key)
    FailedAttempts.objects.create(policy="auth", key=key, failures=4, ends_at=NOW, in_flight_until=NOW)

    used = changes.reset(by=None, now=NOW, key=key)

    assert used == {"general": 3, "auth": 4}
    assert limiter.check(["general"], key)[0].count == 1
    assert FailedAttempts.objects.get(key=key).failures == 0
    assert AuditEntry.objects.get(action="limit_change", entity_id=f"reset {key}").before == used


@pytest.mark.parametrize("kind", ["account", "address"])
def test_a_reset_lets_an_account_or_an_address_log_in_again(kind: str) -> None:
    policy, account = policies.get("auth"), f"{uuid.uuid4()}@example.test"
    address = limiter.address_key(f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1")

    def fail() -> None:
        with attempts.attempt(policy, account=account, address=address, now=NOW) as current_attempt:
            current_attempt.failed = True

    for _ in range(policy.most):
        fail()
    with pytest.raises(attempts.TooManyFailures):
        fail()
    used = changes.reset(by=None, now=NOW, key=f"account:{account}" if kind == "account" else address)
    fail()

    assert used == {"auth": 2 * policy.most}


# -- the admin ----------------------------------------------------------------------------------------------


def test_an_operator_changes_a_policy_and_deletes_the_change(
    operator: Client, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    before = policies.get("billing")
    with django_capture_on_commit_callbacks(execute=True):
        added = operator.post("/admin/ratelimits/policylimit/add/", {"policy": "billing", "most": 7, "window": 60})
    changed = policies.get("billing")
    with django_capture_on_commit_callbacks(execute=True):
        changed_response = operator.post("/admin/ratelimits/policylimit/billing/change/", {"most": 8, "window": 60})
    changed_again = policies.get("billing")
    with django_capture_on_commit_callbacks(execute=True):
        deleted = operator.post("/admin/ratelimits/policylimit/billing/delete/", {"post": "yes"})

    assert [each.status_code for each in (added, changed_response, deleted)] == [302, 302, 302]
    assert (changed, changed_again) == (policies.Policy("billing", 7, 60), policies.Policy("billing", 8, 60))
    assert policies.get("billing") == before
    assert AuditEntry.objects.filter(action="limit_change", entity_id="billing").count() >= 3


@pytest.mark.parametrize(
    "wrong",
    [{"policy": "nonsense"}, {"most": 0}, {"most": "many"}, {"window": 0}, {"window": 10**9}, {"most": 10**12}],
)
def test_the_admin_refuses_invalid_numbers(operator: Client, wrong: dict[str, Any]) -> None:
    response = operator.post(
        "/admin/ratelimits/policylimit/add/", {"policy": "billing", "most": 7, "window": 60} | wrong
    )

    assert response.status_code == 200
    assert b"errorlist" in response.content
    assert not PolicyLimit.objects.exists()


def test_an_operator_gives_a_key_by_its_prefix_or_an_e_mail_address(operator: Client) -> None:
    owner = factories.member(factories.organization(), "admin")
    key, _ = api_keys.create(by=owner, now=NOW, name="scanner", scopes=["shipments:read"])
    person = User.objects.get(pk=present(owner.user_id))

    for text, most in ((key.prefix, "5"), (person.email, "")):
        response = operator.post(
            "/admin/ratelimits/keylimit/add/", {"policy": "general", "key": text, "most": most}
        )
        assert response.status_code == 302

    rows = {row.key: row.most for row in KeyLimit.objects.all()}
    assert rows == {f"key:{key.pk}": 5, f"user:{person.pk}": None}
    listed = operator.get("/admin/ratelimits/keylimit/")
    assert f"key:{key.pk}" in listed.content.decode()


def test_an_unknown_key_is_an_error_on_the_form(operator: Client) -> None:
    response = operator.post(
        "/admin/ratelimits/keylimit/add/", {"policy": "general", "key": "nobody@example.test", "most": "5"}
    )

    assert response.status_code == 200
    assert b"There is none, or more than one" in response.content


def test_only_superusers_see_the_limits() -> None:
    person = factories.user(factories.organization(), "admin")
    User.objects.filter(pk=person.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=person.pk))

    assert client.get("/admin/ratelimits/policylimit/").status_code == 403
    assert client.post("/admin/ratelimits/policylimit/add/", {}).status_code == 403


# -- reports ------------------------------------------------------------------------------------------------


def test_the_report_counts_hits_and_rejections_of_all_processes(settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (2, 60)}
    settings.RATE_LIMIT_WHITELIST = ["batch-processor"]
    before = report.report()["limiters"]["ai"]
    key = _key()

    for _ in range(5):
        limiter.check(["ai"], key)

    body = report.report()
    after = body["limiters"]["ai"]
    assert (after["hits"] - before["hits"], after["rejections"] - before["rejections"]) == (5, 3)
    assert (after["name"], after["max"], after["window"]) == ("ai", 2, 60)
    assert body["whitelist"] == ["batch-processor"]
    assert "partial" not in body
    json.dumps(body)
    busiest = {(each["policy"], each["key"]): each for each in all_top_keys()}
    assert busiest["ai", key] == {"policy": "ai", "key": key, "hits": 5, "rejections": 3}


def all_top_keys() -> list[dict[str, Any]]:
    _, hits, refused = report._totals_from_redis()
    return [report._top_key_entry(name, number, refused[name]) for name, number in hits.items()]


@pytest.mark.usefixtures("fresh_redis_breaker")
def test_without_redis_the_report_is_of_this_host(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ai": (2, 60)}
    monkeypatch.setattr(counters, "local_counters", counters.LocalCounters())
    key = _key()
    for _ in range(5):
        limiter.check(["ai"], key)

    body = report.report(host_decisions=lambda: {("ai", "allowed"): 20, ("ai", "rejected"): 3})

    assert body["partial"] is True
    assert (body["limiters"]["ai"]["hits"], body["limiters"]["ai"]["rejections"]) == (23, 3)
    assert body["topKeys"] == [{"policy": "ai", "key": key, "hits": 5, "rejections": 3}]


def test_a_secret_key_is_masked() -> None:
    assert report.mask_key("1234567890abcdef") == "1234…"
    assert report.mask_key("address:192.0.2.7") == "address:192.0.2.7"


def test_the_command_shows_limits_sources_and_keys() -> None:
    own = _key()
    changes.set_policy(by=OPERATOR, now=NOW, policy="ai", most=3, window=30)
    changes.set_key(by=OPERATOR, now=NOW, policy="billing", key=own, most=None)
    out = StringIO()

    call_command("limits", stdout=out)

    words = [line.split() for line in out.getvalue().splitlines()]
    assert ["policy", "max", "window", "source", "hits", "rejections"] in words
    assert next(line for line in words if line[:1] == ["ai"])[:4] == ["ai", "3", "30s", "admin"]
    assert next(line for line in words if line[:1] == ["general"])[3] == "environment"
    assert ["billing", own, "none"] in words


def test_the_command_resets_one_key_and_prints_its_counts() -> None:
    key = _key()
    for _ in range(3):
        limiter.check(["general"], key)
    out = StringIO()

    call_command("limits", reset=key, stdout=out)

    assert out.getvalue().strip() == f"{key} begins anew; it had used general 3."
    with pytest.raises(CommandError, match="has used nothing"):
        call_command("limits", reset=key)


def test_the_revision_counts_every_statement() -> None:
    before = Revision.objects.values_list("number", flat=True).first() or 0

    changes.set_policy(by=OPERATOR, now=NOW, policy="ai", most=3, window=30)
    changes.clear_policy(by=OPERATOR, now=NOW, policy="ai")

    assert Revision.objects.values_list("number", flat=True).get() > before + 1
