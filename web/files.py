"""Files from our own store: whole, in ranges, or not at all when the client has them already."""

from __future__ import annotations

from typing import Any

from flask import Response, redirect, request
from werkzeug.http import dump_options_header
from werkzeug.wrappers import Response as AnyResponse
from werkzeug.wsgi import FileWrapper

from jobs.files import files
from jobs.media import MediaItem
from web.problems import not_found

CHUNK_BYTES = 256 * 1024
CACHED_SECONDS = 3600
SHOWN_BY_BROWSERS = "image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/webm"


def sent(item: MediaItem) -> AnyResponse:
    """The file, or where to fetch it.

    Raises:
        werkzeug.exceptions.RequestedRangeNotSatisfiable: the file ends before the range that was asked for.
    """
    if url := files().url(item.key, name=item.name):
        return redirect(url)
    return stream(item)


def stream(item: MediaItem) -> Response:
    """The file's bytes, in the range that the request asks for.

    Raises:
        werkzeug.exceptions.RequestedRangeNotSatisfiable: the file ends before that range.
    """
    file = files().open(item.key)
    if file is None:
        raise not_found("such file of this job any more")
    try:
        response = Response(FileWrapper(file, CHUNK_BYTES), mimetype=item.content_type, direct_passthrough=True)
        response.content_length = item.bytes
        response.set_etag(item.key.replace("/", "-"))  # a key is never written twice
        response.headers["Cache-Control"] = f"private, max-age={CACHED_SECONDS}"
        response.headers["Content-Disposition"] = _disposition(item)
        response.make_conditional(_asked_for(), accept_ranges=True, complete_length=item.bytes)
    except BaseException:
        file.close()
        raise
    return response


def _asked_for() -> dict[str, Any]:
    """The request. What is no range of bytes, or several at once, is as good as not sent, as RFC 9110 (14.2) has it."""
    asked = request.range
    if asked is not None and asked.units == "bytes" and len(asked.ranges) == 1:
        return request.environ
    return {name: value for name, value in request.environ.items() if name != "HTTP_RANGE"}


def _disposition(item: MediaItem) -> str:
    # what a browser would run (SVG, HTML) is downloaded: providers are not ours
    is_shown = item.content_type in SHOWN_BY_BROWSERS
    return dump_options_header("inline" if is_shown else "attachment", {"filename": item.name})
