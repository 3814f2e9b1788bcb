"""DRF parsers of uploaded files: a form field, or the whole body."""

from collections.abc import Mapping
from typing import IO, Any, Final

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser

from exports.file_imports import openapi
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.parsing.strict_json import JsonTooLarge

# Boundaries and headers of a form.
_MULTIPART_OVERHEAD_BYTES: Final = 64 * 1024


class Upload:
    """An uploaded file; `filename` is empty where the file is the whole body."""

    def __init__(self, raw: bytes, filename: str) -> None:
        self.raw, self.filename = raw, filename


class MultipartFileParser(MultiPartParser):
    """A multipart form with the file in the field `file`."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the Upload; raises JsonTooLarge, InvalidFields, UnsupportedMediaType."""
        _check_headers(parser_context, media_type, overhead=_MULTIPART_OVERHEAD_BYTES)
        parsed: DataAndFiles[Any, Any] = super().parse(stream, media_type, parser_context)
        return upload_from_form(parsed.data, parsed.files)


class _RawFileParser(BaseParser):
    """The file as the whole body."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the Upload; raises JsonTooLarge, UnsupportedMediaType."""
        _check_headers(parser_context, media_type)
        raw = stream.read(settings.IMPORT_MAX_BYTES + 1)
        if len(raw) > settings.IMPORT_MAX_BYTES:
            raise _too_large()
        return Upload(raw, "")


class CSVParser(_RawFileParser):
    """A CSV file as the whole body."""

    media_type = openapi.CSV


class XLSXParser(_RawFileParser):
    """An XLSX workbook as the whole body."""

    media_type = openapi.XLSX


def upload_from_form(data: Any, files: Any) -> Upload:
    """Return the Upload of a form that Django has parsed; raises InvalidFields, JsonTooLarge."""
    unexpected = [name for name in (*files, *data) if name != "file"]
    uploaded_files: list[UploadedFile[Any]] = files.getlist("file")
    if unexpected or len(uploaded_files) != 1:
        raise InvalidFields(
            [field_error("file", "required", "Send one file, in the field `file`, and nothing else.")]
        )
    if (uploaded_files[0].size or 0) > settings.IMPORT_MAX_BYTES:
        raise _too_large()
    return Upload(uploaded_files[0].read(), uploaded_files[0].name or "")


def _check_headers(context: Mapping[str, Any] | None, media_type: str | None, *, overhead: int = 0) -> None:
    headers = (context or {})["request"].headers
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType(
            media_type or "", detail=f"The encoding {encoding[:32]} is not supported; send the body uncompressed."
        )
    if int(headers.get("Content-Length") or 0) > settings.IMPORT_MAX_BYTES + overhead:
        raise _too_large()


def _too_large() -> JsonTooLarge:
    return JsonTooLarge("too_large", f"The file is larger than {settings.IMPORT_MAX_BYTES:,} bytes.")
