"""What a detector can tell apart, by name. People are what every detector finds unless it is asked for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.errors import InvalidParams

PERSON = "person"
PEOPLE = (PERSON,)


def class_name(written: str) -> str:
    """A class's name as it is compared and shown: models and people write `traffic light`, `Traffic_Light`."""
    return " ".join(written.replace("_", " ").casefold().split())


def class_numbers(classes: Sequence[str], names: Mapping[int, str]) -> list[int]:
    """The network's numbers of the classes, in their order. Raises InvalidParams that says which ones there are."""
    numbers = {class_name(name): number for number, name in names.items()}
    require_known(classes, list(numbers))
    return [numbers[name] for name in classes]


def require_known(classes: Sequence[str], known: Sequence[str]) -> None:
    """Raises InvalidParams that says which ones there are."""
    for name in classes:
        if name not in known:
            raise InvalidParams(f"classes: the detector knows no {name!r:.60}; it knows: {', '.join(known)}.")
