"""create_app: the WSGI application, `gunicorn 'backend.api.app:create_app()'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_openapi import Info, OpenAPI

from backend import __version__, counters, events, tracing
from backend.api import (
    access_spec,
    admission,
    create_body,
    deliveries,
    description,
    error_pages,
    errors,
    exports,
    fleet,
    jobs,
    looking,
    pages,
    pipeline,
    push,
    remote,
    remote_files,
    request_guard,
    sessions,
    solve,
    system,
    uploads,
    versions,
    webhook_spec,
)
from backend.api.browser_headers import guard_browser
from backend.api.context import EXTENSION, Context
from backend.api.editing import Editing
from backend.api.keys import KeyRing
from backend.api.own_worker import OwnWorker
from backend.api.rates import Rates
from backend.api.streams import Streams
from backend.api.strict_json import StrictRequest
from backend.db.engine import Database
from backend.events import Event, emit, warn
from backend.jobs.planners import Planners
from backend.jobs.resource import API
from backend.media.jail.platform import require_jail
from backend.settings import Settings, get_settings
from backend.storage import open_store

if TYPE_CHECKING:
    from backend.api.oidc import Bearer

FORM_SLACK_BYTES = 64 * 1024  # the other fields and the multipart boundaries


def create_app(settings: Settings | None = None) -> OpenAPI:
    """Raises pydantic.ValidationError for bad settings, DatabaseUnavailable when DATABASE_URL is not set,
    JailUnavailable where media cannot be parsed as the settings want it."""
    events.configure()
    settings = settings or get_settings()
    events.identify(worker="api", worker_id=settings.worker_id)
    require_jail(settings)
    database = Database.of(settings, "api")
    counters.start()
    tracing.configure(settings, "api")
    app = OpenAPI(
        __name__,
        info=Info(title="framefleet", version=__version__),
        security_schemes={**access_spec.SCHEMES, **push.SCHEMES, remote.SECURITY: {"type": "http", "scheme": "bearer"}},
        doc_ui=False,
        static_folder=None,
        validation_error_status=422,
        validation_error_callback=errors.validation_problem,
    )
    app.openapi_version = "3.1.0"
    app.request_class = StrictRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_upload_bytes + FORM_SLACK_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = Context(
        settings,
        database,
        open_store(settings),
        Planners(),
        _bearer(settings),
        OwnWorker(settings),
        KeyRing(database),
        Rates(settings),
        Streams(),
        Editing(settings),
        exports.turns(),
    )
    errors.register(app)
    app.register_api(jobs.blueprint)
    app.register_api(looking.blueprint)
    app.register_api(exports.blueprint)
    app.register_api(versions.blueprint)
    app.register_api(solve.blueprint)
    app.register_api(uploads.blueprint)
    app.register_api(deliveries.blueprint)
    app.register_api(fleet.blueprint)
    app.register_api(push.blueprint)
    app.register_api(pipeline.blueprint)
    app.register_api(system.blueprint)
    app.register_api(sessions.blueprint)
    app.register_api(remote.blueprint)
    app.register_api(remote_files.blueprint)
    app.register_api(remote_files.links)
    app.register_blueprint(pages.blueprint)
    app.before_request(request_guard.check_request)
    admission.register(app)
    app.after_request(guard_browser)
    app.after_request(request_guard.allow_origin)
    app.after_request(error_pages.for_browsers)  # before the others: the last one that is named is called first
    app.generate_spec_json()  # type: ignore[no-untyped-call]
    access_spec.describe(app, app.spec_json)
    create_body.describe(app.spec_json, app.spec_json["paths"][f"{API}/jobs"]["post"])
    webhook_spec.describe(app.spec_json)
    description.describe(app.spec_json)
    _say_who_may_call(settings)
    return app


def _say_who_may_call(settings: Settings) -> None:
    if settings.api_access == "open":
        warn(Event.API_ACCESS, access="open", message="API_ACCESS=open: whoever reaches this API may do everything.")
    else:
        emit(Event.API_ACCESS, access=settings.api_access)


def _bearer(settings: Settings) -> Bearer | None:
    if settings.oidc_audience is None:
        return None
    from backend.api.oidc import Bearer  # its cryptography takes a while to load

    return Bearer(settings)
