"""gunicorn in a container: `gunicorn -c docker/gunicorn.conf.py 'backend.api.app:create_app()'`."""

from backend.api.server.config import *  # noqa: F403

bind = "0.0.0.0:8080"
