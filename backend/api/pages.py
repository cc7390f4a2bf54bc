"""The web page and the API's description: static files, no inline script."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, current_app, jsonify, send_from_directory
from flask_openapi import OpenAPI

from backend.api.access import open_to_all
from backend.api.browser_headers import nonce, page_policy

WEB = Path(__file__).parent / "web"
NONCE_PLACE = 'nonce=""'  # of every script in the pages
SWAGGER = Path(str(files("flask_openapi_swagger"))) / "templates" / "swagger"

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@open_to_all
def index() -> Response:
    return _page("index.html")


@blueprint.get("/static/<path:filename>")
@open_to_all
def static(filename: str) -> Response:
    return send_from_directory(WEB / "static", filename)


@blueprint.get("/openapi.json")
@open_to_all
def openapi() -> Response:
    return jsonify(cast(OpenAPI, current_app).api_doc)


@blueprint.get("/docs")
@open_to_all
def docs() -> Response:
    return _page("docs.html")


@blueprint.get("/docs/assets/<path:name>")
@open_to_all
def docs_asset(name: str) -> Response:
    """Swagger UI from its package: nothing is fetched from elsewhere."""
    return send_from_directory(SWAGGER, name)


def _page(name: str) -> Response:
    """With a nonce of its own, so that it is kept nowhere: an older one's scripts would not run."""
    text = (WEB / name).read_text(encoding="utf-8").replace(NONCE_PLACE, f'nonce="{nonce()}"')
    response = Response(text, mimetype="text/html")
    response.headers["Content-Security-Policy"] = page_policy(nonce())
    response.headers["Cache-Control"] = "no-store"
    return response
