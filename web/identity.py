"""Who asks. The one place that knows how users sign in; views only ask `current_user()`, and `require` a role.

Closed by default: what no blueprint of `OPEN` serves needs a user, and whoever may only look changes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from ipaddress import ip_address
from typing import Any, TypeVar, cast

from flask import Flask, g, has_request_context, request

from jobs.roles import Role
from settings import settings
from web.problems import Problem

OPEN = frozenset({"health", "openapi", "docs"})
"""Blueprints anybody may ask."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

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


def register(app: Flask) -> None:
    """Ask for a user before every view that is not open."""
    app.before_request(_sign_in)


def _check(role: Role) -> None:
    if not current_user().is_at_least(role):
        raise Problem(403, NEEDED[role])


def _sign_in() -> None:
    if request.endpoint is None or request.blueprint in OPEN:
        return
    if settings().auth != "off":
        raise Problem(
            401,
            "This server knows no users yet, so it answers nobody. To use it on this machine, start it with AUTH=off.",
            headers={"WWW-Authenticate": 'Bearer realm="pressroom"'},
        )
    if not (_is_loopback(request.remote_addr or "") and _is_this_machine(request.host)):
        raise Problem(403, "Sign-in is off here (AUTH=off), so only this machine is answered. Ask 127.0.0.1 on it.")
    g.user = User("local", Role.OPERATOR)
    if request.method not in SAFE_METHODS:
        require(Role.USER)


def _is_this_machine(host: str) -> bool:
    # A page in a browser of this machine may have a name of its own point at 127.0.0.1; its requests carry that name.
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name == "localhost" or _is_loopback(name.strip("[]"))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
