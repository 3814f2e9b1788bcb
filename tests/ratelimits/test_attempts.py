"""Failed attempts, limited exactly in PostgreSQL."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from ratelimits.attempts import TooManyFailures, attempt, purge
from ratelimits.models import FailedAttempts
from ratelimits.policies import Policy

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = Policy("auth", 5, 900)


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def attempt_login(
    account: str, address: str, *, right: bool = False, now: datetime = NOW, device: str = ""
) -> bool:
    """Return whether the attempt was checked at all."""
    try:
        with attempt(POLICY, account=account, address=address, device=device, now=now) as current_attempt:
            current_attempt.failed = not right
    except TooManyFailures:
        return False
    return True


def refusal_of(account: str, address: str, *, now: datetime = NOW, device: str = "") -> TooManyFailures:
    with (
        pytest.raises(TooManyFailures) as refused,
        attempt(POLICY, account=account, address=address, device=device, now=now),
    ):
        pass
    return refused.value


@pytest.mark.django_db
def test_the_sixth_failure_of_an_account_from_one_address_is_refused(name: str) -> None:
    attempted = [attempt_login(name, name) for _ in range(6)]

    assert attempted == [True] * 5 + [False]


@pytest.mark.django_db
def test_a_stranger_who_guesses_from_elsewhere_does_not_lock_the_owner_out(name: str) -> None:
    for _ in range(6):
        attempt_login(name, f"{name}-stranger")

    assert attempt_login(name, f"{name}-home", right=True)


@pytest.mark.django_db
def test_guesses_from_many_addresses_end_at_twenty_times_as_many(name: str) -> None:
    attempted = [attempt_login(name, f"{name}-{number}") for number in range(101)]

    assert attempted == [True] * 100 + [False]
    assert refusal_of(name, f"{name}-new").limit == "account"


@pytest.mark.django_db
def test_a_known_device_passes_when_account_and_address_are_locked(name: str) -> None:
    for number in range(100):
        attempt_login(name, f"{name}-{number}")
    for number in range(50):
        attempt_login(f"{name}-{number}", name)

    assert not attempt_login(name, name, right=True)
    assert attempt_login(name, name, right=True, device=name)


@pytest.mark.django_db
def test_a_known_device_has_five_failures_of_its_own(name: str) -> None:
    attempted = [attempt_login(name, f"{name}-{number}", device=name) for number in range(6)]

    assert attempted == [True] * 5 + [False]
    assert refusal_of(name, name, device=name).limit == "device"
    assert attempt_login(name, name, device=f"{name}-other")
    assert attempt_login(name, name)


@pytest.mark.django_db
@pytest.mark.parametrize("pretended", ["{address} {name}", "{name} {address}", "{name}@{address}"])
def test_no_name_of_an_account_passes_for_another_account_at_some_address(name: str, pretended: str) -> None:
    address = "address:192.0.2.1"
    for _ in range(5):
        attempt_login(pretended.format(name=name, address=address), f"{name}-stranger")

    assert attempt_login(name, address, right=True)


@pytest.mark.django_db
def test_only_the_first_refusal_of_a_window_is_the_first(name: str) -> None:
    for _ in range(5):
        attempt_login(name, name)
    refusals = [refusal_of(name, name).is_first for _ in range(3)]

    later = NOW + timedelta(seconds=901)
    for _ in range(5):
        attempt_login(name, name, now=later)
    refusals += [refusal_of(name, name, now=later).is_first for _ in range(2)]

    assert refusals == [True, False, False, True, False]


@pytest.mark.django_db
def test_an_address_that_fails_at_many_accounts_is_refused_at_ten_times_as_many(name: str) -> None:
    attempted = [attempt_login(f"{name}-{number}", name) for number in range(51)]

    assert attempted == [True] * 50 + [False]


@pytest.mark.django_db
def test_a_locked_account_does_not_lock_others_at_its_address(name: str) -> None:
    for _ in range(6):
        attempt_login(name, name)

    assert attempt_login(f"{name}-neighbour", name, right=True)


@pytest.mark.django_db
def test_a_right_password_is_refused_once_the_limit_is_reached(name: str) -> None:
    for _ in range(5):
        attempt_login(name, name)

    assert refusal_of(name, name).retry_after == 900


@pytest.mark.django_db
def test_a_success_forgives_the_account_at_this_address_alone(name: str) -> None:
    for _ in range(4):
        attempt_login(name, name)

    attempt_login(name, name, right=True)

    failures = {row.key: row.failures for row in FailedAttempts.objects.filter(key__endswith=name)}
    assert failures == {f"login:{name} {name}": 0, f"account:{name}": 4, f"address:{name}": 4}


@pytest.mark.django_db
def test_the_window_ends_after_its_first_failure(name: str) -> None:
    for _ in range(5):
        attempt_login(name, name)

    assert attempt_login(name, name, now=NOW + timedelta(seconds=901))


@pytest.mark.django_db
def test_a_check_that_raises_counts_no_failure_and_releases_its_slot(name: str) -> None:
    with pytest.raises(ZeroDivisionError), attempt(POLICY, account=name, address=name, now=NOW):
        raise ZeroDivisionError

    rows = FailedAttempts.objects.filter(key__endswith=name)
    assert {(row.failures, row.in_flight) for row in rows} == {(0, 0)}


@pytest.mark.django_db
def test_rows_whose_window_has_ended_are_purged(name: str) -> None:
    attempt_login(name, name)

    removed = purge(NOW + timedelta(days=1))

    assert removed >= 2
    assert not FailedAttempts.objects.filter(key__endswith=name).exists()


@pytest.mark.usefixtures("committed")
def test_of_40_parallel_guesses_exactly_five_are_checked(name: str) -> None:
    def guess(_: int) -> bool:
        try:
            return attempt_login(name, name)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        checked = list(pool.map(guess, range(40)))

    assert sum(checked) == 5


@pytest.mark.usefixtures("committed")
def test_of_parallel_guesses_from_many_addresses_exactly_the_accounts_limit_is_checked(name: str) -> None:
    few = Policy("auth", 1, 900)

    def guess(number: int) -> bool:
        try:
            with attempt(few, account=name, address=f"{name}-{number}", now=NOW) as current_attempt:
                current_attempt.failed = True
        except TooManyFailures:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        checked = list(pool.map(guess, range(40)))

    assert sum(checked) == 20


@pytest.mark.usefixtures("committed")
def test_concurrent_right_passwords_from_one_address_all_pass(name: str) -> None:
    def enter(number: int) -> bool:
        try:
            return attempt_login(f"{name}-{number}", name, right=True)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        checked = list(pool.map(enter, range(24)))

    assert checked == [True] * 24
