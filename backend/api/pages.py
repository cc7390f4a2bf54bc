"""The web page and the API's description: static files, no template, no inline script."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, current_app, jsonify, send_from_directory
from flask_openapi import OpenAPI

WEB = Path(__file__).parent / "web"
SWAGGER = Path(str(files("flask_openapi_swagger"))) / "templates" / "swagger"

blueprint = Blueprint("pages", __name__, static_folder=str(WEB / "static"), static_url_path="/static")


@blueprint.get("/")
def index() -> Response:
    return send_from_directory(WEB, "index.html")


@blueprint.get("/openapi.json")
def openapi() -> Response:
    return jsonify(cast(OpenAPI, current_app).api_doc)


@blueprint.get("/docs")
def docs() -> Response:
    return send_from_directory(WEB, "docs.html")


@blueprint.get("/docs/assets/<path:name>")
def docs_asset(name: str) -> Response:
    """Swagger UI from its package: nothing is fetched from elsewhere."""
    return send_from_directory(SWAGGER, name)
