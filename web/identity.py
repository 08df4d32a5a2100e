"""Who asks. The one place that knows how users sign in; views only ask `current_user()`.

Closed by default: what no blueprint of `OPEN` serves needs a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from flask import Flask, g, request

from settings import settings
from web.problems import Problem

OPEN = frozenset({"health", "openapi", "docs"})
"""Blueprints anybody may ask."""


@dataclass(frozen=True)
class User:
    """Who a request is for. Whatever is read or written is filtered by `id`."""

    id: str


def current_user() -> User:
    """The user of the request at hand."""
    user: User = g.user
    return user


def register(app: Flask) -> None:
    """Ask for a user before every view that is not open."""
    app.before_request(_sign_in)


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
    g.user = User("local")


def _is_this_machine(host: str) -> bool:
    # A page in a browser of this machine may have a name of its own point at 127.0.0.1; its requests carry that name.
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name == "localhost" or _is_loopback(name.strip("[]"))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
