"""Pictures and videos as they come from a service: fetched within bounds, opened, and measured."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO
from urllib.parse import urlsplit

import av
import requests
from PIL import Image, UnidentifiedImageError

from jobs import public_http
from jobs.errors import ProviderGatewayError, ProviderRateLimited, ProviderRefused, ProviderUnavailable, ProviderUnreachable
from providers.answers import error_of
from providers.base import MediaFile
from providers.http import CONNECT_SECONDS, our_errors

IMAGE_BYTES = 64 * 1024 * 1024
VIDEO_BYTES = 1024 * 1024 * 1024
MOST_PIXELS = 64_000_000
"""Of a picture; the largest that can be ordered has 16 million. It is decoded to see that it is whole."""
DOWNLOAD_SECONDS = 3600
_CHUNK_BYTES = 256 * 1024

_PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
_FILMS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,gif"
"""What is opened: a model may be anybody's. (For some formats Pillow runs other programs, and playlists name other files.)"""
_VIDEO_TYPES = {"mp4": "video/mp4", "webm": "video/webm"}


def fetch(
    session: requests.Session, url: str, file: BinaryIO, *, most_bytes: int, silent_seconds: float
) -> Generator[int, None, None]:
    """Write what is at `url` to `file`, yielding how many bytes there are so far.

    Raises:
        requests.RequestException: the connection failed or broke.
        ProviderUnavailable: the file is not there, or has more than `most_bytes`.
    """
    with session.get(url, stream=True, timeout=(CONNECT_SECONDS, silent_seconds)) as answer:
        _raise_for_file(answer.status_code, answer.headers)
        written = 0
        for chunk in answer.iter_content(_CHUNK_BYTES):
            written += file.write(chunk)
            if written > most_bytes:
                raise _too_large(most_bytes)
            yield written


def fetch_public(url: str, file: BinaryIO, *, most_bytes: int, silent_seconds: float) -> Generator[int, None, None]:
    """The same from an address that anybody may have written: only what anybody on the internet can reach is asked.

    Raises:
        ProviderRefused: the address is none of these.
        ProviderUnavailable: the file is not there, or has more than `most_bytes`.
    """
    asked = public_http.open("GET", url, total_seconds=DOWNLOAD_SECONDS, read_seconds=silent_seconds, most_bytes=most_bytes)
    try:
        with asked as answer:
            _raise_for_file(answer.status, answer.headers)
            written = 0
            for piece in answer.pieces():
                written += file.write(piece)
                yield written
    except public_http.ForbiddenAddress as error:
        raise ProviderRefused(f"What the AI service made can't be fetched: {error}") from error
    except public_http.TooLarge as error:
        raise _too_large(most_bytes) from error
    except public_http.NotReached as error:
        raise ProviderUnavailable(f"The AI service's file can't be fetched: {error}") from error


def _raise_for_file(status: int, headers: Mapping[str, str]) -> None:
    if status == requests.codes.ok:
        return
    error = error_of(status, headers)
    if isinstance(error, ProviderRefused):  # the order was taken; it is the file that is missing
        raise ProviderUnavailable(f"The AI service's file can't be fetched (HTTP {status}).")
    raise error


def _too_large(most_bytes: int) -> ProviderUnavailable:
    return ProviderUnavailable(f"The AI service's file has more than {most_bytes // 1024**2} MiB.")


def is_at(url: str, service: str) -> bool:
    """Whether it is the service itself that has what is at `url`."""
    return urlsplit(url).netloc == urlsplit(service).netloc


@contextmanager
def fetching(url: str, *, service: str) -> Iterator[None]:
    """Turns what goes wrong while fetching into our errors. What another host does says nothing about the service.

    (Else a job whose file's host is down would wait for a service that is well, and order and pay again, without end.)
    """
    try:
        with our_errors():
            yield
    except (ProviderUnreachable, ProviderGatewayError, ProviderRateLimited) as error:
        if is_at(url, service):
            raise
        raise ProviderUnavailable("The AI service's file can't be fetched: the host that has it is down or busy.") from error


def image_file(content: bytes) -> MediaFile:
    """The picture in `content`, of the type and size it truly has.

    Raises:
        ProviderUnavailable: it is no picture, or a broken one.
    """
    try:
        with Image.open(BytesIO(content), formats=_PICTURES) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ProviderUnavailable(f"The AI service's picture has more than {MOST_PIXELS // 10**6} million pixels.")
            picture.load()
            content_type = Image.MIME.get(picture.format or "", "application/octet-stream")
            width, height = picture.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProviderUnavailable("The AI service answered with something that is no picture.") from error
    return MediaFile(
        name=f"image.{_extension(content_type)}", content_type=content_type, file=BytesIO(content), width=width, height=height
    )


def video_file(file: BinaryIO) -> MediaFile:
    """The video in `file`, of the type, size and length it truly has.

    Raises:
        ProviderUnavailable: it is no video, or a broken one.
    """
    file.seek(0)
    try:
        with av.open(file, mode="r", options={"format_whitelist": _FILMS, "protocol_whitelist": ""}) as container:
            stream = container.streams.video[0]
            formats = container.format.name.split(",")
            width, height, length = stream.width, stream.height, container.duration
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ProviderUnavailable("The AI service answered with something that is no video.") from error
    content_type = next((kind for name, kind in _VIDEO_TYPES.items() if name in formats), "application/octet-stream")
    file.seek(0)
    return MediaFile(
        name=f"video.{_extension(content_type)}",
        content_type=content_type,
        file=file,
        width=width,
        height=height,
        duration_seconds=length / av.time_base if length else None,
    )


def _extension(content_type: str) -> str:
    """`png` of `image/png`, `jpg` of `image/jpeg`, `bin` of what is nothing particular."""
    subtype = re.sub(r"\W.*", "", content_type.partition("/")[2])
    return {"jpeg": "jpg", "octet": "bin"}.get(subtype, subtype)
