"""Images: drawn by an AI provider from a prompt."""

from __future__ import annotations

from providers.requests import ImageRequest
from tasks.kinds import job
from tasks.results import Media
from tasks.run import Run


@job("images", payload=ImageRequest)
def generate_image(run: Run, request: ImageRequest) -> Media:
    return Media(run.provider.draw(request, run))
