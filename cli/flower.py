"""`celery -A tasks flower`: Flower's own command, on this machine only unless whoever starts it says who may look.

Flower registers the command itself, so this guards it where it stands, and is found by the same kind of entry point.

Where it asks nobody who he is, Flower lets nobody use its API, and so the buttons of its own pages do nothing. With `AUTH=off`
(everybody of this machine is the operator) they work: what its own page asks for, opened at this machine's own address, is let
through. A browser says where a request comes from, and no other site can make it say otherwise.
"""

from __future__ import annotations

import sys
from functools import wraps
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flower.api import BaseApiHandler
from flower.command import apply_env_options, apply_options
from flower.command import flower as flower
from flower.options import options

from settings import settings

LOOPBACK = "127.0.0.1"
OFFLINE_SECONDS = 3_600
"""How long a worker that ended is shown. Each start of a worker is a node of its own, so they would gather for ever."""
EXPOSED = (
    "Flower can't start.\nAt --address={address} others can reach it, and whoever reaches it can stop workers and cancel jobs:"
    " say who may, with --basic_auth=name:password (or FLOWER_BASIC_AUTH). Without --address it listens on {loopback} only."
)

_unguarded = flower.callback
_refuse_without_authentication = BaseApiHandler.prepare


@wraps(_unguarded)
def _guarded(tornado_argv: tuple[str, ...] = (), **given: Any) -> Any:
    options.address = LOOPBACK
    options.purge_offline_workers = OFFLINE_SECONDS
    apply_env_options()
    apply_options(sys.argv[0], tornado_argv)
    if not (options.unix_socket or options.basic_auth or options.auth or _is_loopback(options.address)):
        raise SystemExit(EXPOSED.format(address=options.address or "''", loopback=LOOPBACK))
    return _unguarded(tornado_argv=tornado_argv, **given)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _let_own_pages_through(handler: Any) -> None:
    """Before each request of Flower's API."""
    request = handler.request
    is_own_page = request.headers.get("Sec-Fetch-Site") == "same-origin"
    host = urlsplit(f"//{request.host}").hostname or ""  # another name may have been made to lead here
    if settings().auth != "off" or not is_own_page or not _is_loopback(host):
        _refuse_without_authentication(handler)


flower.callback = _guarded
BaseApiHandler.prepare = _let_own_pages_through
