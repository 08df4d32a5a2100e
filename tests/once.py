"""`functools.cache` as the tests want it of the product: able to forget."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import Lock
from typing import Any

PACKAGES = frozenset({"settings", "queues", "jobs", "providers", "monitoring", "tasks", "web"})
"""The caches of these forget."""

_lock = Lock()
_epoch = object()
"""Another one since everything was forgotten."""
_all: list[Once] = []


class Once:
    """Makes a thing once, like a cache: and, like that, twice if two threads ask for it at the same moment.

    Other than that it forgets for good. What a thread of an earlier test is just making, from the settings of that test, stays
    that thread's; it would come into a cache that was only emptied meanwhile, and be what later tests get.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        functools.update_wrapper(self, make)
        self._make = make
        self._made: dict[object, Any] = {}
        _all.append(self)

    def __call__(self, *given: Any, **named: Any) -> Any:
        epoch, key = _epoch, (given, *named.items())
        made = self._made.get(key, epoch)
        if made is epoch:
            made = self._make(*given, **named)
            with _lock:
                if epoch is _epoch:
                    self._made[key] = made
        return made

    def cache_clear(self) -> None:
        self._made = {}


def forget() -> None:
    """Have everything made anew."""
    global _epoch
    with _lock:
        for each in _all:
            each.cache_clear()
        _epoch = object()  # the last: whoever has asked before keeps nothing


def stand_in() -> None:
    """Be the cache of every function of the product that is decorated from now on."""

    def instead_of(cache: Callable[..., Any]) -> Callable[..., Any]:
        def decorate(function: Callable[..., Any]) -> Any:
            return Once(function) if function.__module__.partition(".")[0] in PACKAGES else cache(function)

        return decorate

    functools.cache = instead_of(functools.cache)  # type: ignore[assignment]
