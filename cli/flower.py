"""`celery -A tasks flower`: Flower's own command, on this machine only unless whoever starts it says who may look.

Flower registers the command itself, so this guards it where it stands, and is found by the same kind of entry point.
"""

from __future__ import annotations

import sys
from functools import wraps
from ipaddress import ip_address
from typing import Any

from flower.command import apply_env_options, apply_options
from flower.command import flower as flower
from flower.options import options

LOOPBACK = "127.0.0.1"
EXPOSED = (
    "Flower can't start.\nAt --address={address} others can reach it, and whoever reaches it can stop workers and cancel jobs:"
    " say who may, with --basic_auth=name:password (or FLOWER_BASIC_AUTH). Without --address it listens on {loopback} only."
)

_unguarded = flower.callback


@wraps(_unguarded)
def _guarded(tornado_argv: tuple[str, ...] = (), **given: Any) -> Any:
    options.address = LOOPBACK
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


flower.callback = _guarded
