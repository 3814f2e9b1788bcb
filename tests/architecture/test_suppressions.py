"""Suppressions of the linter and of the type checker: each names its codes, and says why on its line."""

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.architecture.test_layout import ROOT, modules

MARKERS = re.compile(r"noqa|type: ?ignore")
WITH_CODES = re.compile(r"# ?((?:ruff: )?noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*|type: ignore\[[a-z-]+(, ?[a-z-]+)*\])")


def suppressions_without_reason(source: str) -> list[str]:
    """Return the comments that suppress something without codes, or without a word after them."""
    comments = (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and MARKERS.search(token.string)
    )
    return [comment for comment in comments if not has_reason(comment)]


def has_reason(comment: str) -> bool:
    rest = WITH_CODES.sub("", comment)
    return MARKERS.search(rest) is None and re.search(r"\w", rest) is not None


def test_a_reason_is_told_from_its_absence() -> None:
    with_reason = [
        "# noqa: S101  it holds",
        "# type: ignore[misc]  # untyped",
        "# type: ignore[a-b]  # noqa: S1, B2  both",
    ]
    without = [
        "# noqa",
        "# noqa: S101",
        "# type: ignore  # untyped",
        "# type: ignore[misc]",
        "# type: ignore[misc]  # noqa: S1",
    ]

    assert [has_reason(comment) for comment in with_reason + without] == [True] * 3 + [False] * 5
    assert suppressions_without_reason('text = "# noqa"\n') == []


@pytest.mark.parametrize("path", modules(), ids=str)
def test_every_suppression_has_codes_and_a_reason(path: Path) -> None:
    assert suppressions_without_reason((ROOT / path).read_text()) == []
