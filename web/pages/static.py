"""The pages' style, script and drawings: files of the package, under an address that changes with them.

The version stands in the path, so what a script imports beside itself is of the same version, and browsers may keep all of it.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from flask import Blueprint, Response, send_from_directory, url_for

DIRECTORY = Path(__file__).parents[1] / "static"
KEPT_SECONDS = 365 * 86_400

blueprint = Blueprint("static", __name__)


@blueprint.get("/static/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    """Of an older version it is the file of today, not to be kept."""
    response = send_from_directory(DIRECTORY, name)
    is_todays = version == version_of_today()
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}, immutable" if is_todays else "no-cache"
    return response


@cache
def version_of_today() -> str:
    """What the files are, in a few letters."""
    contents = sha256()
    for path in sorted(DIRECTORY.iterdir()):
        contents.update(path.name.encode() + b"\0" + path.read_bytes())
    return contents.hexdigest()[:12]


def static_url(name: str) -> str:
    """Where a file is to be fetched."""
    return url_for("static.file", version=version_of_today(), name=name)
