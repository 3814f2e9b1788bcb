"""`manage.py check --deploy`: what browsers would be refused, and with --database what the services lack."""

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from pytest_django import Settings

from freight import deploy_checks
from shipments.demo.accounts import DEMO_ACCOUNTS, PASSWORD
from shipments.models import User


def _services() -> list[str]:
    return [str(message.id) for message in deploy_checks.check_services(databases=["default"])]


def test_unset_hosts_origins_and_processes_are_named_with_the_mend(settings: Settings) -> None:
    settings.EXPECTED_PROCESSES = {}
    settings.DEMO, settings.ALLOWED_HOSTS, settings.WS_CORS_ORIGINS = False, ["127.0.0.1", "localhost"], []

    messages = deploy_checks.check_settings()

    assert [message.id for message in messages] == ["freight.W001", "freight.W002", "freight.W003"]
    assert all(
        name in str(message.hint)
        for message, name in zip(
            messages, ("ALLOWED_HOSTS=", "WS_CORS_ORIGINS=", "EXPECTED_PROCESSES="), strict=True
        )
    )

    settings.ALLOWED_HOSTS, settings.WS_CORS_ORIGINS = ["freight.example"], ["https://freight.example"]
    settings.EXPECTED_PROCESSES = {"api": 2}
    assert deploy_checks.check_settings() == []


def test_without_a_database_no_service_is_asked(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"

    assert deploy_checks.check_services(databases=None) == []


@pytest.mark.django_db
def test_services_that_are_there_pass() -> None:
    assert _services() == []


@pytest.mark.django_db
def test_each_thing_that_is_missing_is_named(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION pg_trgm CASCADE")

    assert _services() == ["freight.E003", "freight.E005"]

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'exports'")
    assert _services() == ["freight.E003", "freight.E004"]


@pytest.mark.django_db
def test_accounts_with_the_demos_password_are_named_outside_of_a_demo(settings: Settings) -> None:
    account = next(account for account in DEMO_ACCOUNTS if account.staff)
    User.objects.create(email=account.email, name="Root", is_superuser=True, password=make_password(PASSWORD))

    settings.DEMO = False
    assert _services() == ["freight.E006"]

    settings.DEMO = True
    assert _services() == []
