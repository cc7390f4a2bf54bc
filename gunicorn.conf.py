"""Read by `gunicorn 'backend.api.app:create_app()'` in this folder."""

from backend.api.server.config import *  # noqa: F403
