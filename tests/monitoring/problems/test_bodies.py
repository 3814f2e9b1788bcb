"""The registry of problems."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from monitoring.problems import bodies
from monitoring.problems.registry import PROBLEM_TYPES

ROOT = Path(__file__).parents[3]


def test_a_code_is_snake_case_and_its_status_an_error() -> None:
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", code) for code in PROBLEM_TYPES)
    assert all(HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST for kind in PROBLEM_TYPES.values())


def test_a_problem_bears_code_type_title_and_status() -> None:
    body = bodies.problem("in_flight", "Wait.", outcome="x")

    assert body == {
        "type": "/api/problems/in_flight",
        "title": "The first request with this key is under way",
        "status": 409,
        "code": "in_flight",
        "detail": "Wait.",
        "outcome": "x",
    }


@pytest.mark.parametrize(
    ("status", "given", "code"),
    [
        (409, "file_not_ready", "file_not_ready"),
        (401, "not_authenticated", "unauthenticated"),
        (403, "", "forbidden"),
        (418, "teapot", "internal_error"),
    ],
)
def test_an_error_without_a_registered_code_gets_the_general_one_of_its_status(
    status: int, given: str, code: str
) -> None:
    assert bodies.code_for(status, given) == code


def test_the_guide_has_the_table_of_the_registry() -> None:
    guide = (ROOT / "docs/rest.md").read_text()

    assert bodies.markdown_table(PROBLEM_TYPES.values()) in guide
