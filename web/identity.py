"""Who asks. The one place that knows how users sign in; views only ask `current_user()`, and `require` a role.

Closed by default: what no blueprint of `OPEN` serves needs a user, and whoever may only look changes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from ipaddress import ip_address
from typing import Any, TypeVar, cast

from flask import Flask, g, has_request_context, redirect, request, url_for
from structlog.contextvars import bind_contextvars
from werkzeug.wrappers import Response

from jobs.database import DatabaseUnavailable
from jobs.keys import Key, keys
from jobs.roles import Role
from jobs.sessions import sessions
from settings import settings
from web.crosssite import SAFE_METHODS, SESSION_COOKIE, is_page, refuse_foreign
from web.problems import Problem
from web.rates import take_request

OPEN = frozenset({"health", "openapi", "docs", "sessions", "static"})
"""Blueprints anybody may ask."""
LOCAL = "local"
"""Everybody, where sign-in is off."""
HOW_TO_SIGN_IN = (
    "Nobody is signed in. Send a key as `Authorization: Bearer pr_…`; `celery -A tasks keys create` makes one. "
    "To use this server on its own machine without keys, start it with AUTH=off."
)

NEEDED = {
    Role.USER: "Your key may look and change nothing (role viewer). Whoever may order jobs has a key of the role user.",
    Role.VIEWER: "This shows what concerns all users. It takes a key of the role viewer or operator.",
    Role.OPERATOR: "This concerns all users, so only operators may do it. It takes a key of the role operator.",
}

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class User:
    """Who a request is for."""

    id: str
    role: Role = Role.USER

    @property
    def may_submit(self) -> bool:
        """Whether he may order jobs, and cancel and retry his own."""
        return self.is_at_least(Role.USER)

    @property
    def may_operate(self) -> bool:
        """Whether he may change what is others': their jobs, queues, dead letters, pauses."""
        return self.role is Role.OPERATOR

    @property
    def sees_all(self) -> bool:
        """Whether he sees what concerns all users."""
        return self.is_at_least(Role.VIEWER)

    @property
    def sees(self) -> str | None:
        """Whose jobs he may see: his own id; None: everybody's. As `jobs.store`'s reading methods take it."""
        return None if self.sees_all else self.id

    @property
    def counted_as(self) -> str | None:
        """Under whose name his open streams are counted; None: with sign-in off everybody is the same user, so they aren't."""
        return None if settings().auth == "off" else self.id

    def is_at_least(self, role: Role) -> bool:
        """Whether he has this role, or the operator's, which holds the other two. (Neither of these holds the other.)"""
        return self.role in {role, Role.OPERATOR}


def current_user() -> User:
    """The user of the request at hand."""
    user: User = g.user
    return user


def require(role: Role) -> Callable[[View], View]:
    """Refuse users who have neither this role nor the operator's: as a call inside a view, or as the decorator of one.

    (As a decorator it stands below `describe`.)

    Raises:
        Problem: 403, with what it takes.
    """
    if has_request_context():
        _check(role)

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            _check(role)
            return view(*args, **kwargs)

        return cast(View, guarded)

    return guard


def still_let_in() -> Callable[[], bool]:
    """For answers that take long: asks, without the request, whether who asked would still be let in, as of the last seconds.

    With MongoDB away nobody can tell: then he is.
    """
    is_let_in: Callable[[], bool] = g.is_let_in

    def ask() -> bool:
        try:
            return is_let_in()
        except DatabaseUnavailable:
            return True

    return ask


def whose(asked: str | None) -> str | None:
    """Whose things a request is about that asks for this user's (None: for all that may be seen); None: everybody's.

    Raises:
        Problem: 403, another's take the role viewer or operator.
    """
    user = current_user()
    if asked is not None and asked != user.id:
        require(Role.VIEWER)
    return asked or user.sees


def register(app: Flask) -> None:
    """Ask for a user before every view that is not open."""
    app.before_request(_sign_in)


def _check(role: Role) -> None:
    if not current_user().is_at_least(role):
        raise Problem(403, NEEDED[role])


def _sign_in() -> Response | None:
    if request.endpoint is None or request.blueprint in OPEN:
        return None
    if settings().auth == "off":
        _refuse_other_machines()
        g.user, g.is_let_in = User(LOCAL, Role.OPERATOR), lambda: True
        refuse_foreign(signed_by_cookie=False)
    elif secret := _sent_key():
        g.user = _holder_of(keys().of(secret), "This key is unknown or was revoked. Ask whoever runs this server for another.")
        g.is_let_in = lambda: keys().of(secret) is not None
    else:
        token = request.cookies.get(SESSION_COOKIE)
        key = sessions().key_of(token) if token else None
        if key is None and is_page() and _is_a_browsers():
            return redirect(url_for("sessions.show", next=request.full_path.rstrip("?")))
        g.user = _holder_of(key, HOW_TO_SIGN_IN)
        g.is_let_in = lambda: sessions().key_of(token or "") is not None
        refuse_foreign(signed_by_cookie=True)
    if request.method not in SAFE_METHODS:
        require(Role.USER)
    take_request(g.user.id)
    bind_contextvars(user_id=g.user.id)  # the request's lines of log say who
    return None


def _sent_key() -> str:
    """The key that the request's header holds; nothing where it has none."""
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    return sent.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "").strip()


def _holder_of(key: Key | None, otherwise: str) -> User:
    if key is None:
        raise Problem(401, otherwise, headers={"WWW-Authenticate": 'Bearer realm="pressroom"'})
    return User(key.user_id, key.role)


def _is_a_browsers() -> bool:
    """Whether somebody wants to read what is asked for. (`*/*`, as scripts and programs send it, is nobody.)"""
    return request.method == "GET" and "text/html" in request.accept_mimetypes.values()


def _refuse_other_machines() -> None:
    if not (_is_loopback(request.remote_addr or "") and _is_this_machine(request.host)):
        raise Problem(403, "Sign-in is off here (AUTH=off), so only this machine is answered. Ask 127.0.0.1 on it.")


def _is_this_machine(host: str) -> bool:
    # A page in a browser of this machine may have a name of its own point at 127.0.0.1; its requests carry that name.
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name == "localhost" or _is_loopback(name.strip("[]"))


@lru_cache(maxsize=256)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
