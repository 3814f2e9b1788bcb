"""Schemas of responses that several folders share. They only describe; `shipments.representation` builds bodies.

The class names are the component names of the OpenAPI document, which generated clients hold: they do not change.
"""

# ruff: noqa: N815  the names are those on the wire

from typing import Any

from rest_framework import serializers

from shipments.domain import lifecycle

ResponseSchema = serializers.Serializer[Any]


class FieldProblem(ResponseSchema):
    field = serializers.CharField(help_text="Path of the field; empty for the body as a whole.")
    code = serializers.CharField()
    message = serializers.CharField()


class Problem(ResponseSchema):
    """RFC 9457."""

    type = serializers.CharField(help_text="`/api/problems/<code>`, where the problem is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="What programs decide by; `GET /api/problems` lists all.")
    detail = serializers.CharField()
    instance = serializers.CharField()
    requestId = serializers.CharField()
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]  # a name of the contract and of DRF
    scope = serializers.CharField(required=False, help_text="The scope that an API key lacks.")
    outcome = serializers.CharField(
        required=False,
        help_text="`unknown`: the database went away during COMMIT; all was committed, or nothing.",
    )


class ProblemType(ResponseSchema):
    """A kind of problem, explained."""

    type = serializers.CharField(help_text="Path of this explanation.")
    code = serializers.CharField()
    status = serializers.IntegerField()
    title = serializers.CharField()
    meaning = serializers.CharField()
    remedy = serializers.CharField(help_text="What the client does about it.")


class ProblemTypeList(ResponseSchema):
    results = ProblemType(many=True)


class TransitionProblem(Problem):
    current = serializers.ChoiceField(lifecycle.STATES, required=False)
    allowed = serializers.ListField(
        child=serializers.ChoiceField(lifecycle.STATES), required=False, help_text="The states it may move to now."
    )


class Place(ResponseSchema):
    locode = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    country = serializers.CharField()
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)
    facility = serializers.CharField(required=False)
    street = serializers.CharField(required=False)
    city = serializers.CharField(required=False)
    state = serializers.CharField(required=False)
    postcode = serializers.CharField(required=False)


class Position(ResponseSchema):
    latitude = serializers.FloatField()
    longitude = serializers.FloatField()
    recordedAt = serializers.DateTimeField()


class Party(ResponseSchema):
    id = serializers.UUIDField()
    name = serializers.CharField()


class Actor(ResponseSchema):
    role = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)


class ActorKey(ResponseSchema):
    id = serializers.UUIDField()
    name = serializers.CharField(help_text="What it was called when the event was recorded.")


class EventActor(Actor):
    """Who made a change. Customers and tracking links see the role alone."""

    key = ActorKey(allow_null=True, help_text="The API key that was used; null for people.")
    requestId = serializers.CharField(
        allow_null=True, help_text="`X-Request-ID` of the request: an integrator knows its own changes by it."
    )


class PageSchema(ResponseSchema):
    next = serializers.CharField(allow_null=True, help_text="Path and query of the next page.")
    previous = serializers.CharField(allow_null=True, help_text="Path and query of the page before.")
