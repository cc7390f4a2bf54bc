"""Who may call a view: each says it itself, and one that says nothing is refused to everybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import g

from backend.access.scopes import Scope
from backend.access.tenants import DEFAULT_TENANT
from backend.errors import ScopeMissing

__all__ = [
    "EVERYBODY",
    "Access",
    "Caller",
    "Scope",
    "access_of",
    "caller",
    "needs",
    "open_to_all",
    "own_access",
    "require",
]

_MARK = "_framefleet_access"
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Access:
    """What a view asks of its caller: a scope, or, without one, nothing that is checked before the view runs."""

    scope: Scope | None
    why: str = ""  # it asks for no scope


@dataclass(frozen=True)
class Caller:
    """On whose behalf a request is made."""

    tenant: str
    scopes: frozenset[Scope]
    key_name: str | None = None


# Of a view that asks for no scope: whatever it does is by its own right, never a tenant's.
NOBODY = Caller(DEFAULT_TENANT, frozenset())
EVERYBODY = Caller(DEFAULT_TENANT, frozenset(Scope))


def needs(scope: Scope) -> Callable[[View], View]:
    """Marks a view, below its route's decorator: whoever calls it must have that scope."""
    return _marked(Access(scope))


def open_to_all(view: View) -> View:
    """Marks a view that says nothing about anybody's work."""
    return _marked(Access(None, "open to all"))(view)


def own_access(why: str) -> Callable[[View], View]:
    """Marks a view that checks its caller itself."""
    return _marked(Access(None, why))


def access_of(view: Callable[..., Any]) -> Access | None:
    """What the view is marked with. None: it is not, so nobody may call it."""
    mark = getattr(view, _MARK, None)
    return mark if isinstance(mark, Access) else None


def caller() -> Caller:
    """Of the request in hand. Until it is known who calls, nobody does."""
    found = g.get("caller", NOBODY)
    assert isinstance(found, Caller)
    return found


def require(scope: Scope) -> None:
    """Raises ScopeMissing."""
    if scope not in caller().scopes:
        g.challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        raise ScopeMissing(f"This takes a key with the scope {scope}: framefleet keys create NAME --scope {scope}.")


def _marked(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, _MARK, access)  # functools.wraps, and so flask-openapi, carries it over
        return view

    return mark
