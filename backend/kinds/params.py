"""The parameters of a kind of job."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from backend.settings import Settings


class Params(BaseModel):
    """The parameters of a kind. Unknown ones are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Parameters that name further inputs: a URI, or a list of them.
    input_fields: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raises InvalidParams for values that contradict one another."""

    def check_here(self, settings: Settings) -> None:
        """Raises InvalidParams for what an installation with these settings cannot do."""

    def inputs(self) -> list[tuple[str, str]]:
        """(parameter, URI) of every further input."""
        found: list[tuple[str, str]] = []
        for name in self.input_fields:
            value = getattr(self, name)
            uris = [] if value is None else [value] if isinstance(value, str) else value
            found += [(name, uri) for uri in uris]
        return found


P = TypeVar("P", bound=Params)
# A step that needs few parameters serves every kind that has them.
P_co = TypeVar("P_co", bound=Params, covariant=True)
P_contra = TypeVar("P_contra", bound=Params, contravariant=True)
