"""A placeholder film: the prompt's picture with its hills passing by, each at its own pace, while the sun rises a little."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
from PIL import Image

from providers.local_caption import caption_layers
from providers.local_picture import Scene, hill, scene_for, sky, sun

FRAMES_PER_SECOND = 24
COMPOSED_SIDE_PIXELS = 1920
"""Larger films are composed at this size and scaled up: quicker, and in less memory."""
SUN_RISES = 0.05
"""Of the height, over the whole film."""
NEAREST_HILL_PASSES = 0.55
"""Of the width, over `UNHURRIED_SECONDS`; shorter films go less far."""
UNHURRIED_SECONDS = 12
ENCODING = {"preset": "veryfast", "tune": "zerolatency", "crf": "21"}
"""`zerolatency` looks at no later frames, so the encoder holds few of them."""
INDEX_BYTES, INDEX_FRAME_BYTES = 4096, 48
"""Kept free at the file's beginning for its index, at the most: in all, and for each frame. So it plays while it loads."""


@dataclass(frozen=True)
class _Hill:
    colors: Image.Image
    mask: Image.Image
    top: int
    distance: int


def even(side: int) -> int:
    """The nearest size that H.264's 4:2:0 pictures can have, not above `side`."""
    return side - side % 2


def encode(prompt: str, width: int, height: int, seconds: int, file: BinaryIO) -> Generator[float, None, None]:
    """Write the film of `prompt` to `file`, an MP4 that plays while it loads; yields the share done after each frame.

    Both sides must be even. One frame at a time is in memory.
    """
    frames = seconds * FRAMES_PER_SECOND
    index_bytes = INDEX_BYTES + frames * INDEX_FRAME_BYTES
    with av.open(file, "w", format="mp4", options={"moov_size": str(index_bytes)}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=ENCODING)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FRAMES_PER_SECOND)
        for number, image in enumerate(_frames(prompt, width, height, frames)):
            drawn = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
            frame = drawn.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
            yield (number + 1) / frames
        container.mux(stream.encode(None))


def _frames(prompt: str, width: int, height: int, frames: int) -> Iterator[Image.Image]:
    shrink = min(1.0, COMPOSED_SIDE_PIXELS / max(width, height))
    size = max(2, round(width * shrink)), max(2, round(height * shrink))
    scene = scene_for(prompt)
    backdrop = sky(scene, *size)
    light, corner = sun(scene, *size)
    hills = _hills(scene, size, frames / FRAMES_PER_SECOND)
    shade, text = caption_layers(size, prompt)
    for number in range(frames):
        way = number / max(1, frames - 1)
        image = backdrop.copy()
        lift = SUN_RISES * -0.5 * math.cos(math.pi * way)
        image.paste(scene.palette.sun, (corner[0], corner[1] - round(lift * size[1])), light)
        for each in hills:
            left = round(each.distance * way)
            image.paste(each.colors, (0, each.top), each.mask.crop((left, 0, left + size[0], each.mask.height)))
        image.paste((6, 8, 16), (0, size[1] - shade.height), shade)
        image.paste((255, 255, 255), (0, size[1] - text.height), text)
        yield image


def _hills(scene: Scene, size: tuple[int, int], seconds: float) -> list[_Hill]:
    """Near hills pass quickly, far ones hardly move."""
    passing = NEAREST_HILL_PASSES * min(1.0, seconds / UNHURRIED_SECONDS)
    hills = []
    for number in range(len(scene.waves)):
        near = number / (len(scene.waves) - 1)
        distance = round(size[0] * passing * (0.08 + 0.92 * near**1.3))
        hills.append(_Hill(*hill(scene, number, size[0] + distance, *size), distance))
    return hills
