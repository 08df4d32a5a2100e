"""The provider `local`: no network, no key, no model.

It exists so that everything else can be seen working, and says so in what it makes. The same request gives the same result.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from math import ceil
from typing import BinaryIO, cast

from providers.base import Call, Checkpoint, Draft, Generated, MediaFile, Usage
from providers.local_article import compose, pieces
from providers.local_film import encode, even
from providers.local_picture import picture
from providers.requests import ArticleRequest, ImageRequest, VideoRequest, pixels
from settings import Settings

PACE_SECONDS = 0.03
"""The pause after each piece of text: an article of 400 words takes two to three seconds, and can be watched as it grows."""
LONGEST_PACING_SECONDS = 20
WORDS_IN_PIECE = 5
FRAMES_BETWEEN_CHECKS = 6
PNG_COMPRESSION = 1
"""The quickest; a higher level saves a tenth of the bytes and takes three times as long."""


class LocalProvider:
    """Makes placeholders on this machine. `pace_seconds=0` writes without pauses."""

    name = "local"
    kinds = frozenset({"articles", "images", "videos"})
    pays_once = True

    def __init__(self, *, pace_seconds: float = PACE_SECONDS) -> None:
        self._pace_seconds = pace_seconds

    @classmethod
    def from_settings(cls, settings: Settings) -> LocalProvider:
        """Nothing has to be set."""
        return cls()

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """A placeholder article, going on after the last section that an earlier attempt kept."""
        call.check()
        call.progress(0, "Planning the article")
        article = compose(request)
        kept = str(call.checkpoint.get("content", ""))
        written = kept if article.content.startswith(kept) else ""
        if written:
            call.text(written)
        pace = min(self._pace_seconds, LONGEST_PACING_SECONDS / ceil(request.word_count / WORDS_IN_PIECE))
        position = 0
        for number, section in enumerate(article.sections):
            position += len(section)
            if position <= len(written):
                continue
            for piece in pieces(section, WORDS_IN_PIECE):
                call.text(piece)
                written += piece
                call.progress(
                    100 * len(written) / len(article.content), f"Writing part {number + 1} of {len(article.sections)}"
                )
                call.pause(pace)
            call.keep({"content": written})
        return Draft(title=article.title, content=written)

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """A placeholder PNG."""
        width, height = pixels(request.size)
        call.check()
        call.progress(0, "Drawing the picture")
        image = picture(request.prompt, request.style, width, height)
        call.check()
        call.progress(70, "Saving the picture")
        with ExitStack() as unless_done:
            file = unless_done.enter_context(tempfile.TemporaryFile())
            image.save(file, "PNG", compress_level=PNG_COMPRESSION)
            call.check()
            file.seek(0)
            call.progress(100, "Saving the picture")
            unless_done.pop_all()
        media = MediaFile(name="image.png", content_type="image/png", file=file, width=width, height=height)
        return Generated(files=[media], usage=Usage(images=1))

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """A placeholder MP4. Sides are rounded down to even numbers, as H.264 wants them; the file tells its true size."""
        width, height = map(even, pixels(request.size))
        call.check()
        call.progress(0, "Preparing the film")
        with ExitStack() as unless_done:
            file = cast(BinaryIO, unless_done.enter_context(tempfile.TemporaryFile()))
            with closing(encode(request.prompt, width, height, request.duration, file)) as frames:
                for number, share in enumerate(frames):
                    if number % FRAMES_BETWEEN_CHECKS == 0:
                        call.progress(99 * share, "Filming")
                        call.check()
            file.seek(0)
            call.progress(100, "Filming")
            unless_done.pop_all()
        media = MediaFile(
            name="video.mp4",
            content_type="video/mp4",
            file=file,
            width=width,
            height=height,
            duration_seconds=request.duration,
        )
        return Generated(files=[media], usage=Usage(video_seconds=request.duration))

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Nothing runs anywhere else."""

    def probe(self) -> None:
        """Always there."""
