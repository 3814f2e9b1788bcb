"""What operations of the OpenAPI document share: headers, problem responses, security schemes."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from shipments.api.openapi import schemas

_DESCRIPTIONS: Final = {
    400: "A value in the request is invalid; `errors` says which.",
    401: "The credentials are missing or invalid.",
    403: "The caller may see this object but not do this.",
    404: "There is no such object, or the caller may not see it.",
    409: "The current state does not allow it.",
    412: "The object has changed since the caller read it.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not plain JSON.",
    422: "The Idempotency-Key was used for another request.",
    428: "If-Match is missing.",
    429: "The rate limit is used up; see Retry-After.",
    503: (
        "The database does not answer; see Retry-After. With `outcome: unknown` it went away during COMMIT: send"
        " the request again with its Idempotency-Key."
    ),
}
_ALWAYS: Final = (401, 403, 429, 503)
_WITH_BODY: Final = (400, 413, 415)
_WITH_KEY: Final = (400, 409, 422)

ETAG: Final = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="The version of the object."
)
LINK: Final = OpenApiParameter(
    "Link", str, OpenApiParameter.HEADER, response=[200], description="`next` and `prev`, as in the body."
)
LOCATION: Final = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[201], description="Path of the new object."
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that was read; 304 while it is current."
)
REFERENCE: Final = OpenApiParameter(
    "reference", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}, OpenApiParameter.PATH,
    description="The shipment's reference, whatever its case.",
)  # fmt: skip

IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    OpenApiParameter.HEADER,
    description=(
        "The caller's own name for this request, kept for 24 hours: a request sent again has no further effect"
        " and gets the stored response. Only success is stored. 409 with the code `in_flight` while the first is"
        " running, 422 where method, path or body differ."
    ),
)
REPLAYED: Final = OpenApiParameter(
    "Idempotency-Replayed", {"type": "string", "enum": ["true"]}, OpenApiParameter.HEADER, response=[200, 201, 204],
    description="This is the stored response of an earlier request with the same key.",
)  # fmt: skip
IDEMPOTENCY_PARAMETERS: Final = (IDEMPOTENCY_KEY, REPLAYED)


def if_match(*, required: bool) -> OpenApiParameter:
    """Return the If-Match header: the version that the caller means to change."""
    return OpenApiParameter(
        "If-Match", str, OpenApiParameter.HEADER, required=required,
        description="The ETag that was read, or `*`; 412 where the object has changed since, also where a restored "
        "database has given its number to another change.",
    )  # fmt: skip


def problem_responses(
    *statuses: int, body: bool = False, keyed: bool = False, conflict: Any = schemas.Problem
) -> dict[Any, OpenApiResponse]:
    """Return the problem responses of an operation: `statuses`, those of every operation, of a body, of a key.

    `conflict` is the schema of a 409, which may have members of its own.
    """
    statuses_documented = sorted(
        {*statuses, *_ALWAYS, *(_WITH_BODY if body else ()), *(_WITH_KEY if keyed else ())}
    )
    return {
        (status, "application/problem+json"): OpenApiResponse(
            conflict if status == 409 else schemas.Problem, description=_DESCRIPTIONS[status]
        )
        for status in statuses_documented
    }


def public_problem_responses(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the problem responses of an operation that needs no credentials and no database."""
    return {
        (status, "application/problem+json"): OpenApiResponse(schemas.Problem, description=_DESCRIPTIONS[status])
        for status in (*statuses, 429)
    }


class SubjectScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base
    """Describes how callers authenticate."""

    target_class = "shipments.api.authentication.SubjectAuthentication"
    name = ["bearer", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the two schemes: bearer and session."""
        return [
            {"type": "http", "scheme": "bearer", "description": "An access token or an API key."},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": "sessionid",
                "description": "Pages; writes need X-CSRFToken too.",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return one requirement a scheme: either is enough."""
        return [{name: []} for name in self.name]
