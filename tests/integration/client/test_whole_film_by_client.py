"""One film from a file here to a file here, by a service with real workers, and the webhook that its end is told to."""

from __future__ import annotations

from pathlib import Path

import pytest
from standardwebhooks import Webhook

from backend.client import Client, Job
from backend.jobs.webhook_secrets import signing_secrets
from backend.local.serve import Service
from backend.settings import Settings
from tests.integration.conftest import read_film, wait_until
from tests.integration.receiver import receiving
from tests.samples import make_sample


@pytest.mark.slow
def test_a_film_is_sent_made_fetched_and_told_of(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_ALLOW_PRIVATE", "true")
    clip = make_sample(tmp_path / "talk.mp4", seconds=3)
    seen: list[Job] = []
    given = settings.model_copy(update={"detector": "hog"})
    with receiving() as receiver, Service(given, workers=1, host="127.0.0.1", port=0) as service:
        with Client(service.address) as client:
            events = ["job.progress", "job.completed"]
            params = {"aspect": "9:16"}
            job = client.create_job("crop", file=clip, params=params, webhook_url=receiver.url, webhook_events=events)
            job = client.wait(job.id, on_progress=seen.append, timeout_sec=120)
            assert job.error is None and job.output is not None
            film = client.download_output(job.id, tmp_path / "film.mp4")
            tracks = client.tracks(job.id)
            wait_until(lambda: "job.completed" in receiver.types, 60, "the webhook")
            delivered = client.deliveries(job.id)
        secret = signing_secrets(service.database, "default")[0].text
    assert film.stat().st_size == job.output.size_bytes
    made, source = read_film(film), read_film(clip)
    assert len(made.pts) == len(source.pts) and made.size[0] < made.size[1]
    assert tracks["tracks"]
    assert [each.progress_pct for each in seen] == sorted(each.progress_pct for each in seen)
    for request in receiver.got:
        Webhook(secret).verify(request.body, request.headers)
    assert {body["data"]["id"] for body in receiver.bodies} == {job.id} and "job.progress" in receiver.types
    assert "job.completed" in {each.type for each in delivered}
