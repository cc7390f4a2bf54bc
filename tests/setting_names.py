"""The environment variables that framefleet reads."""

from __future__ import annotations

from functools import cache

from pydantic import AliasChoices

from backend.settings import Settings


@cache
def setting_names() -> frozenset[str]:
    """Every name of every setting."""
    names: set[str] = set()
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        names |= {str(choice) for choice in alias.choices} if isinstance(alias, AliasChoices) else {str(alias)}
    return frozenset(names)
