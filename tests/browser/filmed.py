"""Jobs on films that carry their frames' numbers, worked on in this process, and pages on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from backend.settings import Settings
from backend.vision.detector import open_detector
from tests.browser.served import Served, served
from tests.integration.conftest import wait_until
from tests.integration.studio import Studio
from tests.numbered import make_numbered

# The window is the whole picture: the result shows the number too.
WHOLE_PICTURE = {"aspect": "source", "zoom": False, "min_crop_ratio": 1.0}


class Filmed:
    """An API with its workers, stepped by the test."""

    def __init__(self, site: Served, folder: Path) -> None:
        settings: Settings = site.api.app.extensions["framefleet"].settings
        self.site, self.folder = site, folder
        self.studio = Studio(site.api.database, settings, None, people=lambda: open_detector(settings))  # type: ignore[arg-type]  # nobody asks for poses

    def numbered(self, variant: str = "plain", *, seconds: int = 4) -> Path:
        path = self.folder / f"{variant}.{'avi' if variant == 'not_in_browsers' else 'mp4'}"
        make_numbered(path, variant, seconds=seconds)
        return path

    def upload(self, film: Path, **params: Any) -> UUID:
        """A job whose input lies in the store, as an upload's does; planned."""
        with film.open("rb") as file:
            data = {"file": (file, film.name), "kind": "crop", "params": json.dumps(params)}
            answer = self.site.api.app.test_client().post("/api/v1/jobs", data=data)
        assert answer.status_code == 202, answer.get_json()
        job_id = UUID(answer.get_json()["id"])
        self.wait_planned(job_id)
        return job_id

    def wait_planned(self, job_id: UUID) -> None:
        wait_until(lambda: self.studio.service.get(job_id).total_chunks is not None, 60, "the job to be planned")

    def done(self, film: Path, **params: Any) -> UUID:
        job_id = self.upload(film, **params)
        self.studio.run()
        self.studio.done(job_id)
        return job_id


@contextmanager
def filmed(database_url: str, folder: Path, **settings: Any) -> Iterator[Filmed]:
    with served(database_url, folder, model_name="yolo11n.onnx", **settings) as site:
        yield Filmed(site, folder)
