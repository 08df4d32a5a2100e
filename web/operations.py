"""What each call of the API is for, told beside its view; the OpenAPI document and /docs are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from web.body import ListOf, OneOf

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A successful answer. `shape` None: no body, or one that is not JSON."""

    what: str
    shape: type[BaseModel] | tuple[type[BaseModel], ...] | None = None
    other_types: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    example: BaseModel | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call. `examples` are bodies (or, for a call without one, queries) by what they show."""

    section: str
    summary: str
    detail: str = ""
    body: type[BaseModel] | OneOf[Any] | ListOf[Any] | None = None
    query: type[BaseModel] | None = None
    replies: Mapping[int, Reply]
    problems: tuple[int, ...] = ()
    takes_key: bool = False
    """Whether it takes the header `Idempotency-Key`."""
    examples: Mapping[str, Any] = field(default_factory=dict)


_operations: dict[Callable[..., Any], Operation] = {}


def describe(operation: Operation) -> Callable[[View], View]:
    """Say what a view is for."""

    def keep(view: View) -> View:
        _operations[view] = operation
        return view

    return keep


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """What was said of the view, if anything."""
    return _operations.get(view)
