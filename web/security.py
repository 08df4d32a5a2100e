"""Headers that keep a browser from doing with our answers what they are not for."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlsplit

from flask import Flask, Response

from jobs.files import files
from settings import settings
from web.crosssite import is_https

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; img-src 'self'; media-src 'self'",
    "Cache-Control": "no-store",
}


@cache
def pages_policy() -> str:
    """What a page may load: our own style, scripts and pictures, and media from the bucket where they lie in one."""
    media = f"'self'{_bucket()}"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {media} data:; media-src {media}; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


HTTPS_ONLY = "max-age=31536000"
"""For a year a browser asks us by https only, once it has. (Other hosts of the domain are not ours to bind.)"""


def register(app: Flask) -> None:
    """Add the headers to every answer that does not set its own."""
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", pages_policy())
        # with no-referrer, browsers would call the origin of our own forms "null"
        response.headers.setdefault("Referrer-Policy", "same-origin")
    if is_https():
        response.headers.setdefault("Strict-Transport-Security", HTTPS_ONLY)
    present = {name.lower() for name, _ in response.headers}
    response.headers.extend((name, value) for name, value in HEADERS.items() if name.lower() not in present)
    return response


def _bucket() -> str:
    """Where the bucket's presigned links lead."""
    if settings().media_bucket is None:
        return ""
    link = urlsplit(files().url("any", name="any") or "")
    return f" {link.scheme}://{link.netloc}"
