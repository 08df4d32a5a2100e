"""`@job`: how a handler becomes the task of a kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from queues.catalogue import kind_named
from tasks.application import app
from tasks.job_task import JobTask

if TYPE_CHECKING:
    from providers.requests import Payload
    from tasks.results import Result
    from tasks.run import Run

P = TypeVar("P", bound="Payload", contravariant=True)


class Handler(Protocol[P]):
    """Does a job of a kind: from its attempt and its payload to a result."""

    __name__: str

    def __call__(self, run: Run, request: P, /) -> Result: ...


def job(kind: str, *, payload: type[P], **options: Any) -> Callable[[Handler[P]], JobTask]:
    """Register a handler as the task of `kind`. Its payload's schema becomes the API's.

    Raises:
        TypeError: an option that `@job` does not know.
        KeyError: the catalogue has no such kind.
    """
    if options:
        raise TypeError(f"@job({kind!r}) does not know the option {', '.join(sorted(options))}")
    entry = kind_named(kind)

    def register(handler: Handler[P]) -> JobTask:
        task: JobTask = app.task(
            handler, name=kind, base=JobTask, kind=entry, payload=payload, typing=False, shared=False, lazy=False
        )
        return task

    return register


def task_of(kind: str) -> JobTask:
    """The task of a kind.

    Raises:
        KeyError: there is no such kind.
    """
    import_module(f"tasks.{kind_named(kind).name}")
    task: JobTask = app.tasks[kind]
    return task


def payload_model(kind: str) -> type[Payload]:
    """What a job of this kind is ordered with."""
    return task_of(kind).payload
