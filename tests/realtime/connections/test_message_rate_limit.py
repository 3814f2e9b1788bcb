"""The token bucket of a socket's messages: a burst, a steady rate, refusal and close."""

from collections import Counter

import pytest
from pytest_django import Settings

from realtime.connections.message_rate_limit import MessageTokenBucket, RateDecision
from tests import factories


def decisions(times: list[float]) -> list[RateDecision]:
    bucket = MessageTokenBucket(0.0)
    return [bucket.check(None, now=now) for now in times]


def test_a_burst_is_served_and_more_is_refused_then_closed() -> None:
    decided = decisions([0.0] * 200)

    assert Counter(decided[:40]) == {RateDecision.SERVE: 40}
    assert Counter(decided[40:79]) == {RateDecision.REFUSE: 39}
    assert Counter(decided[79:]) == {RateDecision.CLOSE: 121}


def test_the_rate_of_the_policy_is_served_for_ever() -> None:
    decided = decisions([n / 20 for n in range(2000)])

    assert Counter(decided) == {RateDecision.SERVE: 2000}


def test_a_little_more_than_the_rate_is_refused_in_the_end() -> None:
    decided = decisions([n / 30 for n in range(400)])

    first_of = {decision: decided.index(decision) for decision in RateDecision}
    assert first_of[RateDecision.SERVE] < first_of[RateDecision.REFUSE] < first_of[RateDecision.CLOSE]


def test_a_pause_refills_the_bucket() -> None:
    decided = decisions([0.0] * 60 + [4.0] * 40)

    assert Counter(decided[60:]) == {RateDecision.SERVE: 40}


@pytest.mark.django_db
def test_an_exempt_service_is_never_limited(settings: Settings) -> None:
    service = factories.member(factories.organization(), "dispatcher")
    settings.RATE_LIMIT_WHITELIST = [str(service.user_id)]
    bucket = MessageTokenBucket(0.0)

    assert {bucket.check(service, now=0.0) for _ in range(500)} == {RateDecision.SERVE}


def test_a_limit_changed_at_run_time_applies_to_open_sockets(settings: Settings) -> None:
    bucket = MessageTokenBucket(0.0)
    assert bucket.check(None, now=0.0) is RateDecision.SERVE

    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ws_message": (1, 1)}

    assert [bucket.check(None, now=0.0) for _ in range(3)] == [
        RateDecision.SERVE,
        RateDecision.REFUSE,
        RateDecision.CLOSE,
    ]
