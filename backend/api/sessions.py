"""/api/v1/session: a person shows a key once, and the browser sends a cookie from then on.

A browser can send no header with a film's address or a link, so a page needs a cookie. Its value is random, and the
database knows its hash alone: whoever reads the rows cannot make one.
"""

from __future__ import annotations

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from backend.access.keys import begin_session, end_session
from backend.api import schemas
from backend.api.access import Caller, own_access
from backend.api.context import context
from backend.api.credentials import COOKIE, MAX_TOKEN_CHARACTERS, Shown, caller_with, identified, key_behind, shown
from backend.errors import KeyRevoked
from backend.jobs.resource import API

LASTS_SEC = 12 * 3600.0
MAX_BODY_BYTES = 4096

blueprint = APIBlueprint(
    "session",
    __name__,
    url_prefix=f"{API}/session",
    abp_tags=[Tag(name="session")],
    abp_responses={"4XX": schemas.Problem, "5XX": schemas.Problem},
)


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(strict=True, max_length=MAX_TOKEN_CHARACTERS, description="as in ff_…")


class SessionResource(BaseModel):
    key: str | None = Field(description="the name of the key; null: this machine needs none")
    tenant: str
    scopes: list[str]


@blueprint.before_request
def _bound_json() -> None:
    request.max_content_length = MAX_BODY_BYTES


@blueprint.post("", summary="Sign in", responses={201: SessionResource})
@own_access("the key in its body")
def sign_in(body: SignIn) -> tuple[Response, int]:
    """The answer sets a cookie that is good for 12 hours, or for as long as the key is."""
    key = key_behind(Shown(body.key.strip(), is_session=False))
    begun = begin_session(context().database, key.id, LASTS_SEC)
    if begun is None:  # revoked, or over, since it was looked up
        raise KeyRevoked("This key is not, or no longer, in force.")
    token, lasts_sec = begun
    answer = _said(caller_with(key))
    answer.set_cookie(
        COOKIE, token, max_age=int(lasts_sec), path="/", httponly=True, samesite="Strict", secure=_is_https()
    )
    return answer, 201


@blueprint.get("", summary="Who is signed in", responses={200: SessionResource})
@own_access("whatever the request shows")
def who_is_in() -> Response:
    """401 where a key is needed and none is shown."""
    return _said(identified())


@blueprint.delete("", summary="Sign out", responses={204: None})
@own_access("the session's cookie")
def sign_out() -> tuple[Response, int]:
    """Nothing else that was signed in with the same key ends."""
    what = shown()
    if what is not None and what.is_session:
        end_session(context().database, what.token)
        context().keys.forget_session(what.token)
    answer = Response()
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=_is_https())
    return answer, 204


def _is_https() -> bool:
    """As the browser sees it. Who claims it falsely makes their own cookie stricter."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _said(caller: Caller) -> Response:
    answer = jsonify({"key": caller.key_name, "tenant": caller.tenant, "scopes": sorted(caller.scopes)})
    answer.headers["Cache-Control"] = "no-store"
    return answer
