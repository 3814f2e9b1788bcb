"""Proof of delivery: who received a shipment, with a signature or photo."""

# ruff: noqa: N815  the names are those on the wire

import base64
import binascii
import hashlib
import uuid
from collections.abc import Mapping
from typing import IO, Any, Final

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import services
from shipments.api.authentication import subject_of
from shipments.api.http.fields import Instant, StrictSerializer, Text
from shipments.api.http.idempotency import idempotent_write, takes_key
from shipments.api.http.parsers import StrictJSONParser
from shipments.api.http.requests import not_found_unless_visible, shipment_command
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, REFERENCE, if_match, problem_responses
from shipments.api.shipments import schemas
from shipments.domain import pictures
from shipments.domain.pictures import Picture
from shipments.parsing import strict_json
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.selectors import shipments as selectors
from shipments.services.shipments import proofs

# The proxy accepts 11 MiB, enough for two pictures of 5 MiB in a form (as base64 they would be 13.4 MiB).
_MAX_JSON_BYTES: Final = 11 * 1024 * 1024
_KINDS: Final = ("signature", "photo")


class PictureServiceUnavailable(APIException):
    """The process that decodes pictures is not available."""

    status_code = 503
    default_code = "pictures_unavailable"
    default_detail = "Pictures cannot be read just now; try again soon."


@extend_schema_field({"type": "string", "format": "byte", "description": "PNG, JPEG or WebP, at most 5 MiB."})
class PictureField(serializers.Field[Any, Any, Any, Any]):
    """A picture: a file of a form, or base64 in JSON."""

    default_error_messages = {
        "invalid": "Send a file, or its bytes as base64.",
        "too_large": "A picture has at most {most:,} bytes.",
        "not_a_picture": "Send a PNG, JPEG or WebP picture.",
    }

    def to_internal_value(self, data: Any) -> bytes:
        """Return the bytes; refuses those that do not start like a supported format."""
        if isinstance(data, UploadedFile):
            if (data.size or 0) > pictures.MAX_BYTES:
                self.fail("too_large", most=pictures.MAX_BYTES)
            raw: bytes = data.read()
        elif isinstance(data, str):
            if len(data) > pictures.MAX_BYTES * 4 // 3 + 4:
                self.fail("too_large", most=pictures.MAX_BYTES)
            try:
                raw = base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                self.fail("invalid")
        else:
            self.fail("invalid")
        if not pictures.is_supported_format(raw):
            self.fail("not_a_picture")
        return raw


class Proof(StrictSerializer):
    """Who received it; with a signature, a photo or both."""

    signerName = Text(source="signer_name", max_length=120)
    signedAt = Instant(source="signed_at", required=False, help_text="Now where left out.")
    signature = PictureField(required=False)
    photo = PictureField(required=False)
    note = Text(
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="Public: on the document, which customers print, too.",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Accept `name` for `signerName`, and refuse a proof without a picture."""
        if "name" in data and "signerName" not in data:
            data = {("signerName" if key == "name" else key): data[key] for key in data}
        values = super().to_internal_value(data)
        if not any(kind in values for kind in _KINDS):
            message = "Send a signature, a photo, or both."
            raise serializers.ValidationError({"signature": [serializers.ErrorDetail(message, code="required")]})
        return values


class LargeJSONParser(StrictJSONParser):
    """JSON large enough for two pictures."""

    max_bytes = _MAX_JSON_BYTES


class PlainMultiPartParser(MultiPartParser):
    """A form with files; a repeated field or a NUL character is refused, as in JSON."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return fields and files; raises InvalidJson."""
        parsed = super().parse(stream, media_type, parser_context)
        for name, texts in parsed.data.lists():
            if len(texts) > 1:
                raise strict_json.InvalidJson("duplicate_key", f"{name[:40]!a} stands twice.")
            if "\0" in texts[0]:
                raise strict_json.InvalidJson("characters", "NUL is no text.")
        return parsed


class ProofView(APIView):
    """The proof of delivery of one shipment."""

    parser_classes = [LargeJSONParser, PlainMultiPartParser]

    @extend_schema(
        operation_id="proveDelivery",
        request={"application/json": Proof, "multipart/form-data": Proof},
        parameters=[REFERENCE, if_match(required=False), *IDEMPOTENCY_PARAMETERS],
        responses={201: schemas.Proof, **problem_responses(404, 412, body=True, keyed=True)},
    )
    @takes_key
    def post(self, request: Request, reference: str) -> HttpResponse:
        """Store who received the shipment, with signature or photo; a later proof replaces an earlier one."""
        subject = subject_of(request)
        # Before any picture is decoded.
        if not selectors.visible_shipments(subject).with_reference(reference).exists():
            raise services.ShipmentNotFound(reference)
        arguments, proof = shipment_command(request, reference, permission="checkpoints:write", body=Proof)
        with not_found_unless_visible(subject, reference):
            raw_pictures: dict[str, bytes] = {kind: proof.pop(kind) for kind in _KINDS if kind in proof}
            request.body_digest = _body_digest(proof, raw_pictures)  # type: ignore[attr-defined]  # for idempotency
            clean_pictures: dict[str, Picture] = {
                kind: _clean_picture(kind, raw, subject.organization_id) for kind, raw in raw_pictures.items()
            }
        return _store(self, request, reference, arguments | proof | {"now": clock.now()}, clean_pictures)


@idempotent_write
def _store(
    view: APIView, request: Request, reference: str, values: dict[str, Any], cleaned: Mapping[str, Picture]
) -> Response:
    return Response(proofs.represent(services.record_proof_of_delivery(**values, pictures=cleaned)), status=201)


def _clean_picture(kind: str, raw: bytes, organization_id: uuid.UUID) -> Picture:
    try:
        return pictures.clean(raw, tenant=organization_id)
    except pictures.InvalidPicture as error:
        raise InvalidFields([field_error(kind, "not_a_picture", str(error))]) from None
    except pictures.CleanerUnavailable as error:
        raise PictureServiceUnavailable from error


def _body_digest(values: Mapping[str, Any], sent: Mapping[str, bytes]) -> bytes:
    """Return a digest of values and pictures: the raw bytes of a form differ in their boundary at each attempt."""
    values_lines = [f"{name}={values[name]}" for name in sorted(values)]
    picture_lines = [f"{kind}={hashlib.sha256(raw).hexdigest()}" for kind, raw in sorted(sent.items())]
    return hashlib.sha256("\n".join(values_lines + picture_lines).encode()).digest()
