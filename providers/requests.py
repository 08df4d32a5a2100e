"""What a user can order: the payloads of the generating kinds, validated at the API and again in the worker.

JSON is camelCase, Python snake_case. Unknown fields and wrong types are refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MEDIA_SIDE_PIXELS = 64, 4096


def pixels(size: str) -> tuple[int, int]:
    """Width and height of `"1280x720"`: `(1280, 720)`."""
    width, _, height = size.partition("x")
    return int(width), int(height)


def _has_sides_in_range(size: str) -> str:
    least, most = MEDIA_SIDE_PIXELS
    if any(not least <= side <= most for side in pixels(size)):
        raise ValueError(f"each side must be {least} to {most} pixels")
    return size


Size = Annotated[
    str,
    StringConstraints(pattern=r"^\d{2,4}x\d{2,4}$"),
    AfterValidator(_has_sides_in_range),
    Field(description="Width and height in pixels, as in `1280x720`; 64 to 4096 a side."),
]
Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Payload(BaseModel):
    """The base of every kind's payload."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )


class ArticleRequest(Payload):
    """An article. `mode` says what it is made from: `topic`, `keywords` or `outline`, whose field must be given."""

    mode: Literal["topic", "keywords", "outline"] = "topic"
    topic: Line | None = None
    keywords: Annotated[list[Line], Field(max_length=20)] = []
    outline: Annotated[list[Line], Field(max_length=50)] = []
    word_count: int = Field(default=1000, ge=50, le=10_000)
    tone: Line = "Professional"
    seo_optimization: bool = False
    include_images: bool = False
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> ArticleRequest:
        if not getattr(self, self.mode):
            raise ValueError(f"mode {self.mode!r} needs the field {self.mode!r}")
        return self

    @property
    def subject(self) -> str:
        """What the article is about, in a few words."""
        return self.topic or (self.keywords or self.outline)[0]


class ImageRequest(Payload):
    """An image from a prompt."""

    prompt: Prompt
    size: Size = "1024x1024"
    style: Line | None = None


class VideoRequest(Payload):
    """A video from a prompt. `duration` is in seconds."""

    prompt: Prompt
    duration: int = Field(default=5, ge=1, le=60)
    size: Size = "1280x720"
