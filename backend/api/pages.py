"""The web page: static files, no template, no inline script."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

WEB = Path(__file__).parent / "web"

blueprint = Blueprint("pages", __name__, static_folder=str(WEB / "static"), static_url_path="/static")


@blueprint.get("/")
def index() -> Response:
    return send_from_directory(WEB, "index.html")
