"""Search among the members of the organisation."""

from collections.abc import Mapping
from typing import Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments.api.accounts import schemas
from shipments.api.authentication import subject_of
from shipments.api.lists import parameters
from shipments.api.openapi.documentation import problem_responses
from shipments.parsing import values
from shipments.parsing.query_parameters import InvalidFields, Parameter, field_error, parse_parameters
from shipments.selectors import accounts

_SEARCH: Final[Mapping[str, Parameter]] = {
    "q": Parameter(
        values.text_between(2, 120), "Part of the name or start of the e-mail address; similar ones match too."
    ),
}


class UserSearchView(APIView):
    """Members of the caller's organisation."""

    @extend_schema(
        operation_id="searchUsers",
        parameters=parameters.openapi_parameters(_SEARCH),
        responses={200: schemas.UserMatches, **problem_responses(400)},
    )
    def get(self, request: Request) -> Response:
        """Find up to 20 active members by name or e-mail address."""
        subject = subject_of(request)
        subject.require("shipments:write")
        query = parse_parameters(request.GET, _SEARCH)
        if "q" not in query:
            raise InvalidFields([field_error("q", "required", "Say what to look for.")])
        results = [
            {"id": member.user_id, "name": member.user.name, "email": member.user.email, "role": member.role}
            for member in accounts.search_members(subject, query["q"])
        ]
        return Response({"results": results}, headers={"Cache-Control": "private, no-cache"})
