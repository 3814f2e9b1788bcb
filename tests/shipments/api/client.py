"""A client of the API that acts as a subject, without the cost of logging in."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.test import APIClient

from shipments.api.authentication import SubjectUser
from shipments.auth.subjects import Subject


class Api:
    """Calls the API as one subject; bodies are given as Python values or as raw bytes."""

    def __init__(self, subject: Subject | None) -> None:
        self._client = APIClient(raise_request_exception=False)
        if subject is not None:
            user: Any = SubjectUser(subject)
            token: Any = subject
            self._client.force_authenticate(user=user, token=token)

    def get(self, path: str, query: Mapping[str, Any] | None = None, **headers: str) -> Any:
        return self._client.get(path, query, headers=_headers(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("patch", path, body, headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self._client.delete(path, headers=_headers(headers))

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        raw = body if isinstance(body, bytes) else orjson.dumps(body or {})
        content_type = headers.pop("content_type", "application/json")
        call = getattr(self._client, method)
        return call(path, raw, content_type=content_type, headers=_headers(headers))


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def field_errors(response: Any) -> list[tuple[str, str]]:
    """Return `(field, code)` of every entry of a validation problem."""
    assert response["Content-Type"] == "application/problem+json"
    return [(error["field"], error["code"]) for error in response.json()["errors"]]
