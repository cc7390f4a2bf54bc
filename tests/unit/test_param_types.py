"""What comes as JSON has JSON's own types: strictly, and yet every form that the documents show is taken."""

from __future__ import annotations

from typing import Any

import pytest

from backend.errors import InvalidParams
from backend.kinds import kind_named


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("crop", {"shots": {"0": "main", "2": "track:3"}}),
        ("crop", {"aspect": "9:16", "subject": "all", "crf": 20, "padding_ratio": 0.1, "draw_timestamp": True}),
        ("annotate", {"classes": ["person", "car"], "draw": ["boxes"]}),
        ("annotate", {"classes": "person,car", "draw": "boxes,ids"}),
        ("annotate", {"draw": [], "zones": [{"name": "a", "polygon": [[0, 0], [1, 1], [1, 0]]}]}),
    ],
)
def test_what_the_documents_show_is_taken(kind: str, params: dict[str, Any]) -> None:
    kind_named(kind).check_types(params)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("crop", {"crf": "20"}),
        ("crop", {"crf": True}),
        ("crop", {"draw_timestamp": 1}),
        ("crop", {"shots": {"x": "main"}}),
        ("crop", {"shots": {"0.5": "main"}}),
        ("annotate", {"classes": [1]}),
        ("annotate", {"classes": {"person": 1}}),
    ],
)
def test_another_type_is_refused(kind: str, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        kind_named(kind).check_types(params)
