"""Videos: filmed by an AI provider from a prompt."""

from __future__ import annotations

from providers.requests import VideoRequest
from tasks.kinds import job
from tasks.results import Media
from tasks.run import Run


@job("videos", payload=VideoRequest)
def generate_video(run: Run, request: VideoRequest) -> Media:
    return Media(run.provider.film(request, run))
