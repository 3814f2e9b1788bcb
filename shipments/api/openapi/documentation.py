"""The schema's words: what operations have in common, and the page that shows it."""

from functools import lru_cache
from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from shipments.api.openapi import schemas

_DESCRIPTIONS: Final = {
    400: "Something in the request cannot be used; `errors` says what.",
    401: "Nobody is recognised.",
    403: "The caller may see it but not do this.",
    404: "There is no such thing, or it is another's.",
    409: "It does not go together with the present state.",
    412: "It has changed since the caller read it.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not plain JSON.",
    422: "The Idempotency-Key was used for another request.",
    428: "If-Match is missing.",
    429: "The rate limit is used up; see Retry-After.",
    503: (
        "The database does not answer just now; see Retry-After. With `outcome: unknown` it went away while"
        " committing: send the request again with its Idempotency-Key."
    ),
}
_ALWAYS: Final = (401, 403, 429, 503)
_WITH_BODY: Final = (400, 413, 415)
_WITH_KEY: Final = (400, 409, 422)

ETAG: Final = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="The version of what is answered."
)
LINK: Final = OpenApiParameter(
    "Link", str, OpenApiParameter.HEADER, response=[200], description="`next` and `prev`, as in the body."
)
LOCATION: Final = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[201], description="Path of what was made."
)
IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An ETag; 304 where it is still good."
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
        "The caller's own name for this request, kept for 24 hours: sent again, the request has no further effect"
        " and is answered as it was. Only success is kept. 409 with the code `in_flight` while the first is being"
        " worked on, 422 where method, path or body differ."
    ),
)
REPLAYED: Final = OpenApiParameter(
    "Idempotency-Replayed", {"type": "string", "enum": ["true"]}, OpenApiParameter.HEADER, response=[200, 201, 204],
    description="The request was answered before; this is that answer.",
)  # fmt: skip
IDEMPOTENCY_PARAMETERS: Final = (IDEMPOTENCY_KEY, REPLAYED)


def if_match(*, required: bool) -> OpenApiParameter:
    """Return the header that names the version to be changed."""
    return OpenApiParameter(
        "If-Match", str, OpenApiParameter.HEADER, required=required,
        description="The ETag that was read, or `*`; 412 where the log has gone on since.",
    )  # fmt: skip


def problem_responses(
    *statuses: int, body: bool = False, keyed: bool = False, shape: Any = schemas.Problem
) -> dict[Any, OpenApiResponse]:
    """Return the refusals of an operation: all have some, then its own, those of a body or of a key."""
    statuses_documented = sorted(
        {*statuses, *_ALWAYS, *(_WITH_BODY if body else ()), *(_WITH_KEY if keyed else ())}
    )
    return {
        (status, "application/problem+json"): OpenApiResponse(
            shape if status == 409 else schemas.Problem, description=_DESCRIPTIONS[status]
        )
        for status in statuses_documented
    }


class SubjectScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells the schema how callers are recognised."""

    target_class = "shipments.api.authentication.SubjectAuthentication"
    name = ["bearer", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return the two ways in."""
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
        """Say that either way is enough."""
        return [{name: []} for name in self.name]


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    document: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


class SchemaView(SpectacularJSONAPIView):
    """The OpenAPI document, made once per process."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return OpenAPI 3.1 as JSON."""
        return Response(_document())


class DocsView(SpectacularSwaggerSplitView):
    """A page to read and try the API; script and style are files of ours, so the site's CSP holds."""

    template_name = "shipments/api_docs.html"
