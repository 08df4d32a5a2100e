"""Real videos, small ones: a red square in the upper left corner of blue, a yellow one that moves, a tone of 440 Hz."""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw

RED, BLUE, YELLOW = (220, 20, 20), (20, 60, 120), (240, 220, 20)
FRAMES_PER_SECOND = 24
SAMPLES = 1024


def film(
    path: Path,
    size: tuple[int, int] = (320, 240),
    *,
    seconds: float = 2,
    sound: bool = True,
    turned: int = 0,
    aspect: Fraction | None = None,
    black: float = 0,
    begins: int = 0,
    sounds: str = "aac",
    layout: str = "stereo",
    sound_from: int = 0,
    is_live: bool = False,
) -> Path:
    """A video at `path`, which is answered; the first `black` of it shows nothing, and until `sound_from` nothing is heard.

    Its times begin at `begins` seconds. One that `is_live` does not say how long it is.
    """
    is_webm = path.suffix == ".webm"
    with av.open(str(path), "w", container_options={"live": "1"} if is_live else {}) as container:
        pictures: Any = container.add_stream("libvpx" if is_webm else "libx264", rate=FRAMES_PER_SECOND)
        pictures.width, pictures.height, pictures.pix_fmt = *size, "yuv420p"
        if aspect:
            pictures.codec_context.sample_aspect_ratio = aspect
        if turned:
            pictures.set_display_rotation(turned)
        sounding: Any = container.add_stream("libopus" if is_webm else sounds, rate=48_000, layout=layout) if sound else None
        frames = round(seconds * FRAMES_PER_SECOND)
        for number in range(frames):
            drawn = _picture(size, number) if number >= black * frames else Image.new("RGB", size)
            frame: Any = av.VideoFrame.from_image(drawn)  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
            frame.pts, frame.time_base = begins * FRAMES_PER_SECOND + number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if sounding:
            _play(container, sounding, sound_from, seconds, begins)
    return path


def _picture(size: tuple[int, int], number: int) -> Image.Image:
    width, height = size
    image = Image.new("RGB", size, BLUE)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 4, height // 4), fill=RED)
    left = 4 * number % width
    draw.rectangle((left, height // 2, left + width // 10, height // 2 + width // 10), fill=YELLOW)
    return image


def _play(container: Any, stream: Any, first: float, seconds: float, begins: int) -> None:
    channels = stream.layout.nb_channels
    for start in range(round(first * stream.rate), round(seconds * stream.rate), SAMPLES):
        frame = av.AudioFrame(format="s16", layout=stream.layout.name, samples=SAMPLES)
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, begins * stream.rate + start, Fraction(1, stream.rate)
        wave = (int(9_000 * math.sin(math.tau * 440 * n / stream.rate)) for n in range(start, start + SAMPLES))
        frame.planes[0].update(array("h", [value for each in wave for value in [each] * channels]).tobytes())
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
