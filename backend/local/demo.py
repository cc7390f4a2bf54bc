"""The whole service on one clip: what `make demo` does."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from backend.jobs.resource import job_resources
from backend.jobs.service import JobService, NewJob
from backend.kinds.crop import CROP
from backend.local.given import check_given
from backend.local.run import follow, plan_now
from backend.local.sample import make_sample
from backend.local.serve import Service
from backend.settings import Settings
from backend.states import JobStatus
from backend.storage import open_store

PARAMS = {"aspect": "9:16"}
SAMPLE_PARAMS = PARAMS | {"subject": "all"}  # the two who walk side by side
# Short enough that both workers have something to do on a clip of 40 s.
CHUNK_SECONDS = 10.0


def demo(settings: Settings, *, video: Path | None, workers: int, port: int, stay: bool, console: Console) -> int:
    """Brings the service up, crops the clip to 9:16, says where the film is. With `stay` the page remains until Ctrl-C.

    Returns the exit code: 0 when the film is done. Raises FramefleetError for what cannot start.
    """
    began = time.monotonic()
    settings = settings.model_copy(update={"chunk_seconds": min(settings.chunk_seconds, CHUNK_SECONDS)})
    if video is not None:
        check_given(str(video))
    source = (video or settings.data_dir / "sample.mp4").resolve()
    if video is None and not source.exists():
        console.print("making the sample clip …")
        make_sample(source)
    with Service(settings, workers=workers, host="127.0.0.1", port=port) as service:
        jobs = JobService(service.database)
        job = jobs.create(NewJob("crop", source.as_uri(), source.name, SAMPLE_PARAMS if video is None else PARAMS))
        page = f"{service.address}/#/jobs/{job.id}"
        console.print(f"page: {page}", markup=False, soft_wrap=True)
        store = open_store(service.settings)
        plan_now(job.id, service.database, store, service.settings)
        report = follow(job.id, service.database, console, service.check)
        if report["status"] != JobStatus.DONE:
            error = report["error"] or {"code": report["status"], "message": ""}
            console.print(f"{error['code']}: {error['message']}", markup=False)
            return 1
        film = service.settings.data_dir / "demo" / CROP.output.file_name(source.name, None)
        film.parent.mkdir(parents=True, exist_ok=True)
        output_key = jobs.get(job.id).output_key
        assert output_key is not None  # the input is a local file, so the film lies in our own store
        store.get_file(output_key, film)
        detector = job_resources(service.database, [jobs.get(job.id)])[0]["detector"] or {}
        if "fallback" in detector:
            console.print(f"note: {detector['fallback']}.", markup=False)
        console.print(f"film: {film}   ({time.monotonic() - began:.0f} s)", markup=False, soft_wrap=True)
        if stay:
            console.print(f"page: {page}", markup=False, soft_wrap=True)
            console.print("Ctrl-C stops the service.")
            service.wait()
    return 0
