"""GET /api/v1/jobs/{id}/deliveries: what became of the messages to a job's webhook."""

from __future__ import annotations

from flask import Response
from flask_openapi import APIBlueprint, Tag

from backend.api import schemas
from backend.api.access import Scope, needs
from backend.api.conditional import polled
from backend.api.context import context
from backend.api.jobs import PROBLEMS
from backend.jobs.resource import API
from backend.jobs.webhook_log import deliveries_of

blueprint = APIBlueprint("deliveries", __name__, url_prefix=API, abp_tags=[Tag(name="jobs")], abp_responses=PROBLEMS)


@blueprint.get(
    "/jobs/<uuid:job_id>/deliveries", summary="What its webhook was told", responses={200: schemas.DeliveryList}
)
@needs(Scope.JOBS_READ)
def list_deliveries(path: schemas.JobPath) -> Response:
    """Newest first, each with its last tries: when, what was answered, how long that took."""
    app = context()
    app.jobs.get(path.job_id)
    return polled({"deliveries": deliveries_of(app.database_of_caller, path.job_id)})
