"""A video's way through a real worker."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from devstack.ai_service import AiService
from jobs.files import files
from jobs.life import Status
from jobs.media import media_of
from jobs.submit import Order, submit
from tests.site import Asked, Said, running
from tests.tasks.conftest import StartWorker
from tests.tasks.films import film
from tests.workers import finished


@pytest.mark.parametrize("provider", ["local", "service"])
def test_a_video_of_the_asked_length_is_stored_and_plays(provider: str, start_worker: StartWorker) -> None:
    with AiService() as service:
        worker = start_worker("videos", AI_SERVICE_URL=service.address, AI_PROVIDER=provider)
        order = Order(kind="videos", payload={"prompt": "Waves", "duration": 2, "size": "320x180"}, user_id="ada")
        job = finished(submit(order).id, worker)
    assert job.status is Status.COMPLETED
    (item,) = media_of(job)
    assert (item.content_type, item.width, item.height) == ("video/mp4", 320, 180)
    assert item.duration_seconds == pytest.approx(2, abs=0.1)
    file = files().open(item.key)
    assert file is not None
    with av.open(file) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in container.decode(video=0)) == 48


def test_the_services_task_is_kept_before_it_is_waited_for(start_worker: StartWorker) -> None:
    with AiService() as service:
        worker = start_worker("videos", AI_SERVICE_URL=service.address)
        job = finished(submit(Order(kind="videos", payload={"prompt": "Waves", "duration": 1}, user_id="ada")).id, worker)
    assert job.status is Status.COMPLETED
    assert service.generations == 1
    assert next(iter(service.tasks.values())).idempotency_key == job.id
    assert job.checkpoint == {}  # the end forgets it


def test_a_video_at_an_address_is_fetched_and_transcoded_and_what_is_none_is_refused_in_words(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    content = film(tmp_path / "film.mov", (640, 480)).read_bytes()
    disk = tmp_path / "disk"
    disk.mkdir()

    def answer(asked: Asked) -> Said:
        return (
            Said(body=content)
            if asked.path == "/film"
            else Said(body=b"<!doctype html>", headers={"Content-Type": "video/mp4"})
        )

    with running() as site:
        site.answer = answer
        worker = start_worker("videos", ALLOW_PRIVATE_URLS="on", TMPDIR=str(disk))
        orders = [{"videoUrl": site.url(path), "quality": "360p"} for path in ("/film", "/page")]
        jobs = [submit(Order(kind="videos", payload=payload, user_id="ada")) for payload in orders]
        made, refused = (finished(job.id, worker) for job in jobs)
    assert made.status is Status.COMPLETED, made.error
    (item,) = media_of(made)
    assert (item.name, item.content_type, item.width, item.height) == ("video.mp4", "video/mp4", 480, 360)
    assert item.duration_seconds == pytest.approx(2, abs=0.1)
    file = files().open(item.key)
    assert file is not None
    with av.open(file) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
    assert refused.error is not None
    assert (refused.status, refused.attempts, refused.error["code"]) == (Status.FAILED, 1, "invalid_payload")
    assert "can't be used as a video" in refused.error["message"]
    assert not [*disk.glob("*/videos/*")]
