"""What the page advises: for errors that exist, and for every one that a film or a link can cause."""

from __future__ import annotations

import re
from pathlib import Path

from backend import errors

ADVICE = Path(errors.__file__).parent / "api" / "web" / "static" / "core" / "advice.js"


def codes(kind: type[errors.FramefleetError]) -> set[str]:
    return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))


def test_each_code_that_has_advice_exists_and_whatever_a_person_can_mend_has_some() -> None:
    advised = set(re.findall(r"^  (\w+): [\"`A-Z]", ADVICE.read_text(), re.MULTILINE))
    assert advised <= codes(errors.FramefleetError)
    causes = (errors.MediaError, errors.SourceNotFound, errors.SourceForbidden, errors.SourceUnreachable)
    assert set.union(*(codes(kind) for kind in causes)) <= advised
