"""Who may take a worker's place away, and what it answers when it is asked to leave a busy one alone."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol


class Answer(Enum):
    SET = auto()
    REFUSED = auto()
    UNREACHABLE = auto()
    NO_SERVICE = auto()  # it has nothing to say here, so that asking again is of no use


class Keeper(Protocol):
    """Both methods return the answer and its words, and raise nothing."""

    @property
    def outlives_us(self) -> bool:
        """What is set stays set when this process ends without a word, and the one after it finds it."""
        ...

    def protect(self, minutes: int) -> tuple[Answer, str]: ...

    def release(self) -> tuple[Answer, str]: ...
