"""Pictures of pictures, of videos and of PDFs: one that shows what there is, in several sizes.

What is read here is a stranger's. It is read in a child process, only in the formats named here, and not if it is too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from fractions import Fraction
from io import BytesIO
from typing import Any, BinaryIO

import av
import pypdfium2
from PIL import Image, ImageOps, ImageStat, UnidentifiedImageError

from jobs.errors import InvalidPayload
from providers.base import MediaFile
from tasks.media.transcoder import FORMATS

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP")
MOST_PIXELS = 100_000_000
PLACES = (0.1, 0.25, 0.5, 0.75, 0.0)
"""Where in a video is looked for a frame that shows something, the first place first."""
MOST_FRAMES = 300
"""Decoded from the place before it that can be jumped to."""
DARK, FLAT = 24, 6
"""Mean and deviation of the brightness, of 255, up to which a frame shows nothing."""
PDF_BEGINS = b"%PDF-"
MOST_PDF_BYTES = 100 * 10**6
PAGE_PIXELS = 1_280
"""The longer side of a page of a PDF, as it is drawn."""
EXTENSIONS = {"jpeg": "jpg", "webp": "webp", "png": "png"}
SAVING: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 82, "optimize": True, "progressive": True},
    "webp": {"quality": 80, "method": 4},
    "png": {"optimize": True},
}


class NoPicture(InvalidPayload):
    """There is nothing in this file that a thumbnail could be made of. Give an image, a video or a PDF."""


def still(file: BinaryIO) -> Image.Image:
    """The image in the file, a frame of the video, or the first page of the PDF: upright, in RGB or RGBA.

    Raises:
        NoPicture: it is none of them, or a broken one, or too large.
    """
    if file.read(len(PDF_BEGINS)) == PDF_BEGINS:
        file.seek(0)
        return _first_page(file)
    file.seek(0)
    try:
        with Image.open(file, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NoPicture(
                    f"The image has {image.width} x {image.height} pixels. Give one of at most {MOST_PIXELS // 10**6} million."
                )
            image.load()
            return _in_colour(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        file.seek(0)
        return _in_colour(_frame_of_video(file))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NoPicture(f"The image is broken or cut off ({error}). Give it whole.") from error


def thumbnail(image: Image.Image, side: int, form: str) -> MediaFile:
    """The image in that format, its longer side `side` pixels, or what it is if that is less."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    if form == "jpeg" and small.mode == "RGBA":
        paper = Image.new("RGB", small.size, "white")
        paper.paste(small, mask=small.getchannel("A"))
        small = paper
    file = BytesIO()
    small.save(file, form.upper(), **SAVING[form])
    file.seek(0)
    name, content_type = f"thumbnail-{side}.{EXTENSIONS[form]}", f"image/{form}"
    return MediaFile(name=name, content_type=content_type, file=file, width=small.width, height=small.height)


def _in_colour(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _first_page(file: BinaryIO) -> Image.Image:
    content = file.read(MOST_PDF_BYTES + 1)
    if len(content) > MOST_PDF_BYTES:
        raise NoPicture(f"The PDF has more than {MOST_PDF_BYTES // 10**6} MB. Give a smaller one.")
    try:
        with closing(pypdfium2.PdfDocument(content)) as document:
            page = document[0]
            scale = PAGE_PIXELS / max(*page.get_size(), 1)
            image: Image.Image = page.render(scale=scale).to_pil()
            return image.convert("RGB")
    except (pypdfium2.PdfiumError, IndexError, ValueError) as error:
        raise NoPicture(f"The PDF has no page that can be shown ({error}). Give it whole, and without a password.") from error


def _frame_of_video(file: BinaryIO) -> Image.Image:
    try:
        with av.open(file, options={"format_whitelist": FORMATS, "protocol_whitelist": ""}) as container:
            best = None
            for image in _candidates(container):
                if _shows_something(image):
                    return image
                best = best or image
    except (av.FFmpegError, ValueError):
        raise NoPicture from None
    if best is None:
        raise NoPicture("The video has no frame that can be decoded. Give another one.")
    return best


def _candidates(container: Any) -> Iterator[Image.Image]:
    """A frame from each of the places, in their order."""
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None:
        return
    if stream.codec_context.width * stream.codec_context.height > MOST_PIXELS:
        raise NoPicture(f"The video's pictures have more than {MOST_PIXELS // 10**6} million pixels. Give a smaller one.")
    begins = container.start_time or 0
    for place in PLACES:
        at = begins + round(place * (container.duration or 0))
        with suppress(av.FFmpegError):
            container.seek(at)
            frame = _frame_at(container, stream, Fraction(at, av.time_base))
            if frame is not None:
                yield _upright(frame, stream.sample_aspect_ratio)


def _frame_at(container: Any, stream: Any, time: Fraction) -> Any:
    """The frame that is shown at that time, or the last one before."""
    last = None
    for number, frame in enumerate(container.decode(stream)):
        last = frame
        if number >= MOST_FRAMES or (frame.pts is not None and frame.pts * frame.time_base >= time):
            break
    return last


def _upright(frame: Any, aspect: Fraction | None) -> Image.Image:
    image: Image.Image = frame.to_image()
    if aspect and Fraction(1, 10) <= aspect <= 10 and aspect != 1:
        image = image.resize((max(1, round(image.width * aspect)), image.height))
    return image.rotate(frame.rotation, expand=True) if frame.rotation % 90 == 0 else image


def _shows_something(image: Image.Image) -> bool:
    brightness = ImageStat.Stat(image.convert("L"))
    return brightness.mean[0] > DARK or brightness.stddev[0] > FLAT
