"""What the strict parser accepts and refuses; it needs neither Django nor a database."""

import ast

import pytest

from shipments.parsing import strict_json


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true, {}]}', {"a": [1, 2.5, "x", None, True, {}]}),
        (b"[" * 32 + b"]" * 32, ast.literal_eval("[" * 32 + "]" * 32)),
        (b'"' + b"[" * 100 + b'"', "[" * 100),
        (rb'"\\u0000 \u00e9 \ud83d\ude9a"', "\\u0000 é 🚚"),
        ("1" * 4300, int("1" * 4300)),
        (b"1e-999", 0.0),
        (b"[" + b",".join([b"{}"] * 100) + b"]", [{}] * 100),
    ],
)
def test_json_is_accepted(raw: bytes | str, value: object) -> None:
    assert strict_json.loads(raw if isinstance(raw, bytes) else raw.encode()) == value


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"{'a': 1}", "malformed"),
        (b'{"a": 1,}', "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b'"a\x00b"', "malformed"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"b": {"\\u0061": 1, "a": 2}}', "duplicate_key"),
        (b"NaN", "not_a_number"),
        (b"[-Infinity]", "not_a_number"),
        (b"1e999", "number_too_large"),
        (b"-1e999", "number_too_large"),
        (b"1" * 4301, "number_too_large"),
        (b'"\\u0000"', "nul"),
        (b'{"\\u0000": 1}', "nul"),
        (b'["\\ud800"]', "surrogate"),
        (b'"\\uDC00\\uD800"', "surrogate"),
        (b'"\xff"', "encoding"),
        (b'"\xed\xa0\x80"', "encoding"),
        ('"é"'.encode("utf-16"), "encoding"),
        (b" " * (1024 * 1024 + 1), "too_large"),
    ],
)
def test_refused_json_is_refused_with_its_code(raw: bytes, code: str) -> None:
    with pytest.raises(strict_json.InvalidJson) as refusal:
        strict_json.loads(raw)

    assert refusal.value.code == code
    assert str(refusal.value).isascii()
