"""What other sites have a browser send us in its user's name is refused: here, and nowhere else.

Two things tell it. The browser says where a request comes from (`Origin`, `Sec-Fetch-Site`). And every page of ours holds a
token that follows from a cookie: other sites see neither. Whoever sends his key with each request needs none of this, as no
browser does that by itself.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request
from werkzeug.wrappers import Response

from settings import settings
from web.operations import operation_of
from web.problems import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OUR_SITE = frozenset({"same-origin", "none"})
SESSION_COOKIE = "pressroom_session"
VISITOR_COOKIE = "pressroom_visitor"
"""Of those who are not signed in: what their token follows from."""
FIELD, HEADER = "csrf_token", "X-CSRF-Token"
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
VISITOR_BYTES = 32


def register(app: Flask) -> None:
    """Give the templates `csrf_token()`, which belongs into each form and each script's unsafe request."""
    app.add_template_global(csrf_token)
    app.after_request(_keep_visitor)


def csrf_token() -> str:
    """The token of whoever asks. In a template it makes the answer set a cookie, where there is none yet."""
    basis = _basis()
    if not basis:
        basis = g.new_visitor = token_urlsafe(VISITOR_BYTES)
    return _token_of(basis)


def refuse_foreign(*, signed_by_cookie: bool) -> None:
    """Return where the request changes nothing, or is our own pages'. One that a cookie signs always needs the token.

    Raises:
        Problem: 403.
    """
    if request.method in SAFE_METHODS:
        return
    if not _comes_from_us():
        raise Problem(403, "This came from another site, so nothing was done. Do it on our own page.")
    if signed_by_cookie or _is_form_of_page():
        sent = request.headers.get(HEADER) or request.form.get(FIELD, "")
        if not (basis := _basis()) or not hmac.compare_digest(sent.encode(), _token_of(basis).encode()):
            raise Problem(403, "This page is too old, so nothing was done. Load it again, and do it once more.")


def is_page() -> bool:
    """Whether the request is for a page: what the API's description does not name."""
    return request.endpoint is not None and operation_of(current_app.view_functions[request.endpoint]) is None


def keep_cookie(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set a cookie that no script sees and other sites' requests don't carry; on https, only there."""
    response.set_cookie(name, value, max_age=max_age, httponly=True, samesite="Lax", secure=is_https())


def is_https() -> bool:
    """Whether browsers reach us encrypted, be it by a proxy before us."""
    return request.is_secure or (settings().public_url or "").startswith("https:")


def _comes_from_us() -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site not in OUR_SITE:
        return False
    if origin is None:
        return True
    # hosts, not schemes: a proxy that ends TLS before us makes the scheme another one
    ours = {request.host, urlsplit(settings().public_url or "").netloc} - {""}
    return urlsplit(origin).netloc in ours


def _is_form_of_page() -> bool:
    return is_page() and request.mimetype in FORMS


def _basis() -> str:
    return request.cookies.get(SESSION_COOKIE) or request.cookies.get(VISITOR_COOKIE) or str(g.get("new_visitor", ""))


def _token_of(basis: str) -> str:
    return hmac.new(basis.encode(), b"csrf", sha256).hexdigest()


def _keep_visitor(response: Response) -> Response:
    if visitor := g.get("new_visitor"):
        keep_cookie(response, VISITOR_COOKIE, visitor)
    return response
