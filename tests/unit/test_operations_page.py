"""The page for the night has every error code that a job, a log or a client can show."""

from __future__ import annotations

from pathlib import Path

from backend.errors import FramefleetError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def test_every_error_code_is_explained() -> None:
    codes, pending = set(), [FramefleetError]
    while pending:
        kind = pending.pop()
        if kind.__module__ == "backend.errors":
            codes.add(kind.code)
        pending.extend(kind.__subclasses__())
    page = PAGE.read_text()
    assert len(codes) > 25
    assert {code for code in codes if f"`{code}`" not in page} == set()
