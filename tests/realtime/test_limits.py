"""How much one socket may say: a burst, a pace, and an end."""

from collections import Counter

import pytest
from pytest_django import Settings

from realtime.limits import Answer, MessageBucket
from tests import factories


def said(times: list[float]) -> list[Answer]:
    bucket = MessageBucket(0.0)
    return [bucket.take(None, now=now) for now in times]


def test_a_burst_is_served_and_more_is_refused_then_closed() -> None:
    answers = said([0.0] * 200)

    assert Counter(answers[:40]) == {Answer.SERVE: 40}
    assert Counter(answers[40:79]) == {Answer.REFUSE: 39}
    assert Counter(answers[79:]) == {Answer.CLOSE: 121}


def test_the_pace_of_the_policy_is_served_for_ever() -> None:
    answers = said([n / 20 for n in range(2000)])

    assert Counter(answers) == {Answer.SERVE: 2000}


def test_a_little_more_than_the_pace_is_refused_in_the_end() -> None:
    answers = said([n / 30 for n in range(400)])

    first_of = {answer: answers.index(answer) for answer in Answer}
    assert first_of[Answer.SERVE] < first_of[Answer.REFUSE] < first_of[Answer.CLOSE]


def test_who_pauses_may_speak_again() -> None:
    answers = said([0.0] * 60 + [4.0] * 40)

    assert Counter(answers[60:]) == {Answer.SERVE: 40}


@pytest.mark.django_db
def test_an_exempt_service_is_never_too_fast(settings: Settings) -> None:
    service = factories.member(factories.organization(), "dispatcher")
    settings.RATE_LIMIT_WHITELIST = [str(service.user_id)]
    bucket = MessageBucket(0.0)

    assert {bucket.take(service, now=0.0) for _ in range(500)} == {Answer.SERVE}


def test_a_limit_changed_at_run_time_holds_for_open_sockets(settings: Settings) -> None:
    bucket = MessageBucket(0.0)
    assert bucket.take(None, now=0.0) is Answer.SERVE

    settings.RATE_LIMITS = settings.RATE_LIMITS | {"ws_message": (1, 1)}

    assert [bucket.take(None, now=0.0) for _ in range(3)] == [Answer.SERVE, Answer.REFUSE, Answer.CLOSE]
