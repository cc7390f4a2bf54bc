"""The names of environment variables that backend/settings.py reads."""

from __future__ import annotations

from pydantic import AliasChoices

from backend.settings import Settings


def known_names() -> set[str]:
    names: set[str] = set()
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            names |= {choice for choice in alias.choices if isinstance(choice, str)}
        elif isinstance(alias, str):
            names.add(alias)
    return names
