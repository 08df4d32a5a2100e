"""What a user can order: the payloads of the generating kinds, validated at the API and again in the worker.

JSON is camelCase, Python snake_case. Unknown fields and wrong types are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

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
    StringConstraints(pattern=r"^[0-9]{2,4}x[0-9]{2,4}$"),
    AfterValidator(_has_sides_in_range),
    Field(description="Width and height in pixels, as in `1280x720`; 64 to 4096 a side."),
]
Prompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


def needed(field: str, why: str) -> PydanticCustomError:
    """The fault of a field that other fields make necessary, for a model's validator to raise; it names the field."""
    return PydanticCustomError("field_needed", "{field} is missing: {why}", {"field": field, "why": why})


class Payload(BaseModel):
    """The base of every kind's payload."""

    trial: ClassVar[Mapping[str, Any]] = {}
    """A small order, to see whether jobs of the kind get done (`celery -A tasks queues send-test`)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )


class ArticleRequest(Payload):
    """An article. `mode` says what it is made from: `topic`, `keywords` or `outline`, whose field must be given."""

    trial = {"topic": "Why a message is worth following", "wordCount": 50}

    mode: Literal["topic", "keywords", "outline"] = Field(default="topic", description="What the article is made from.")
    topic: Line | None = Field(
        default=None, description="What the article is about.", examples=["Growing tomatoes on a balcony"]
    )
    keywords: list[Line] = Field(
        default=[], max_length=20, description="Words the article should be found by.", examples=[["tomatoes", "balcony"]]
    )
    outline: list[Line] = Field(
        default=[], max_length=50, description="The article's headings, in order.", examples=[["Which pots", "When to sow"]]
    )
    word_count: int = Field(default=1000, ge=50, le=10_000, description="About how many words.")
    tone: Line = Field(default="Professional", description="How it should sound.")
    seo_optimization: bool = Field(default=False, description="Write it to be found by search engines.")
    include_images: bool = Field(default=False, description="Order an image for the article when it is done.")
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = Field(
        default="en", description="A language tag, as in `en` or `pt-BR`."
    )

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> ArticleRequest:
        if not getattr(self, self.mode):
            raise needed(self.mode, f"mode {self.mode!r} needs it")
        return self

    @property
    def subject(self) -> str:
        """What the article is about, in a few words."""
        return self.topic or (self.keywords or self.outline)[0]


class ImageRequest(Payload):
    """An image from a prompt."""

    trial = {"prompt": "A test card", "size": "256x256"}

    prompt: Prompt = Field(description="What the image shows.", examples=["A lighthouse at dawn, mist over the water"])
    size: Size = "1024x1024"
    style: Line | None = Field(default=None, description="How it should look, as in `watercolour`.")


class VideoRequest(Payload):
    """A video from a prompt."""

    trial = {"prompt": "A test card", "duration": 1, "size": "256x256"}

    prompt: Prompt = Field(description="What the video shows.", examples=["Waves rolling onto a quiet beach"])
    duration: int = Field(default=5, ge=1, le=60, description="Seconds.")
    size: Size = "1280x720"
