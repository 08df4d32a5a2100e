"""An image's way through a real worker."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from devstack.ai_service import AiService
from jobs.files import files
from jobs.life import Status
from jobs.media import media_of
from jobs.submit import Order, submit
from tests.tasks.conftest import StartWorker
from tests.workers import finished


@pytest.mark.parametrize("provider", ["local", "service"])
def test_an_image_of_the_asked_size_is_stored(provider: str, start_worker: StartWorker, database: Any) -> None:
    with AiService() as service:
        worker = start_worker("images", AI_SERVICE_URL=service.address, AI_PROVIDER=provider)
        order = Order(kind="images", payload={"prompt": "A harbour at night", "size": "320x200"}, user_id="ada")
        job = finished(submit(order).id, worker)
    assert job.status is Status.COMPLETED
    (item,) = media_of(job)
    assert (item.width, item.height, item.content_type) == (320, 200, "image/png")
    file = files().open(item.key)
    assert file is not None
    content = file.read()
    assert len(content) == item.bytes
    file.seek(0)
    assert Image.open(file).size == (320, 200)
    history = database.jobs.find_one({"_id": job.id})["history"]
    assert [entry["verb"] for entry in history] == ["submit", "claim", "complete"]
