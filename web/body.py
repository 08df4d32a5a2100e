"""The request's body and query: read, held against a model, and refused with every fault named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import structlog
from flask import request
from gunicorn.http.errors import ParseException
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from web.faults import MOST_FAULTS, faults, model_in, path, shown
from web.problems import Fault, Problem

MOST_BODY_BYTES = 1024 * 1024
MOST_FAULTS_OF_AN_ENTRY = 10
"""Of a thousand entries each; all that can be wrong with them would be an answer of twenty times the request."""
MOST_DEPTH = 32
MOST_INTEGER = 2**63 - 1
MOST_DIGITS = 20
"""Of an integer; a longer one is out of range whatever it is, and is not worth converting."""

log = structlog.get_logger("web")

M = TypeVar("M", bound=BaseModel)
Way = tuple[str | int, ...]


class NotJson(ValueError):
    """The text can't be read. (What it says follows the text's name: `is not JSON: …`.)"""


@dataclass(frozen=True)
class OneOf(Generic[M]):
    """A body that is one of several models; its field `type` says which."""

    name: str
    models: Mapping[str, type[M]]

    def pick(self, document: Mapping[str, Any], way: Way = ()) -> type[M]:
        """The model of `document`, which is refused if its type is none of ours."""
        asked = document.get("type")
        if isinstance(asked, str) and asked in self.models:
            return self.models[asked]
        there_are = ", ".join(self.models)
        field = path((*way, "type"))
        message = (
            f"{field} is {shown(asked)}: send one of {there_are}."
            if "type" in document
            else f"{field} is missing: add one of {there_are}."
        )
        raise refused([Fault(field=field, message=message)])


@dataclass(frozen=True)
class ListOf(Generic[M]):
    """A body of one list, `field`, of 1 to `most` documents, each of which is one of several models."""

    name: str
    field: str
    entries: OneOf[M]
    most: int


def read(expected: type[M] | OneOf[M]) -> M:
    """The request's body as a model. A model that ignores unknown fields has them named in the log.

    Raises:
        Problem: 400, 413, 415 or 422, with the fields at fault.
    """
    document = _document()
    if not is_fit(document):
        raise refused([*islice(unfit(document), MOST_FAULTS)])
    model = expected.pick(document) if isinstance(expected, OneOf) else expected
    return _validated(model, document)


def read_list(expected: ListOf[M]) -> tuple[list[M | Problem], list[Any]]:
    """Each document of the request's list as a model, or as the problem that it is; and the documents as they were sent.

    Raises:
        Problem: 400, 413, 415 or 422: the body is no such list.
    """
    document = _document()
    name, sent = expected.field, document.get(expected.field)
    others = [
        Fault(field=path([each]), message=f"{path([each])} is an unknown field: leave it out.")
        for each in document
        if each != name
    ]
    if not isinstance(sent, list):
        others.append(
            Fault(
                field=name,
                message=f"{name} is {shown(sent)}: send a list." if name in document else f"{name} is missing: add it.",
            )
        )
    elif not 1 <= len(sent) <= expected.most:
        others.append(Fault(field=name, message=f"{name} has {len(sent):,} entries: send 1 to {expected.most:,}."))
    if others:
        raise refused(others[:MOST_FAULTS])
    assert isinstance(sent, list)  # or it was refused
    return [_entry(expected, place, each) for place, each in enumerate(sent)], sent


def _entry(expected: ListOf[M], place: int, document: object) -> M | Problem:
    way: Way = (expected.field, place)
    try:
        if not isinstance(document, dict):
            raise refused([Fault(field=path(way), message=f"{path(way)} is {shown(document)}: send an object.")])
        if not is_fit(document, MOST_DEPTH - len(way)):
            raise refused([*islice(unfit(document, way), MOST_FAULTS_OF_AN_ENTRY)])
        return _validated(expected.entries.pick(document, way), document, way, MOST_FAULTS_OF_AN_ENTRY)
    except Problem as problem:
        return problem


def read_query(model: type[M]) -> M:
    """The request's query as a model.

    Raises:
        Problem: 422, with the parameters at fault.
    """
    document = request.args.to_dict()
    if broken := list(unfit(document)):
        raise refused(broken)
    return _validated(model, document)


def refused(errors: list[Fault]) -> Problem:
    """The problem of a request with these faults."""
    fields = ", ".join(dict.fromkeys(error.field for error in errors[:3]))
    more = f" and {len(errors) - 3} more" if len(errors) > 3 else ""
    return Problem(422, f"Not accepted. At fault: {fields}{more}.", errors=errors)


def _validated(model: type[M], document: dict[str, Any], way: Way = (), most_faults: int = MOST_FAULTS) -> M:
    if unknown := sorted(_ignored(document, model)):
        log.warning("unknown fields ignored", fields=unknown[:20])
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise refused(faults(error, model, way, most_faults)) from None


def _raw() -> bytes:
    # One that says it is longer than MAX_CONTENT_LENGTH is a 413 before a byte is read; a chunked one is cut off there.
    try:
        raw = request.get_data(cache=False)
    except (ParseException, OSError):
        raise Problem(400, "The body broke off, or its chunks are not as HTTP has them. Send it again, whole.") from None
    if len(raw) > MOST_BODY_BYTES:
        raise RequestEntityTooLarge
    return raw


def _document() -> dict[str, Any]:
    raw = _raw()
    if not raw.strip():
        raise Problem(400, "The request has no body. Send a JSON object.")
    if (packed := request.headers.get("Content-Encoding", "identity")).lower() != "identity":
        raise Problem(415, f"The body is packed ({shown(packed)} in Content-Encoding). Send it as it is, without that header.")
    if not request.is_json:
        raise Problem(415, "The body is not sent as JSON. Send it with the header Content-Type: application/json.")
    try:
        document = read_json(raw)
    except NotJson as error:
        raise Problem(400, f"The body {error}") from None
    if not isinstance(document, dict):
        raise refused([Fault(field="body", message=f"body is {shown(document)}: send an object.")])
    return document


def read_json(text: str | bytes) -> object:
    """What the text holds. It may hold more than we can keep: `unfit` tells.

    Raises:
        NotJson: it is none.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8. Send JSON in UTF-8.") from None
    except RecursionError:
        raise NotJson(f"is nested too deeply. Send at most {MOST_DEPTH} levels.") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else math.inf


def is_fit(value: object, levels: int = MOST_DEPTH) -> bool:
    """Whether `unfit` has nothing to say: the same rules, quick, for what nearly always holds."""
    if isinstance(value, str):
        return not _unfit_text(value)
    if isinstance(value, dict | list):
        if levels <= 0:
            return False
        for entry in value:  # of an object, the names
            if not is_fit(entry, levels - 1):
                return False
        return isinstance(value, list) or is_fit([*value.values()], levels)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) <= MOST_INTEGER


def unfit(value: object, way: Way = ()) -> Iterator[Fault]:
    """What JSON, Unicode or MongoDB can't hold, whatever the model would say to it. `way` leads to the value."""
    if isinstance(value, dict | list):
        if len(way) >= MOST_DEPTH:
            yield _fault(way, f"is nested too deeply: send at most {MOST_DEPTH} levels")
            return
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for step, entry in entries:
            if isinstance(step, str) and (what := _unfit_text(step)):
                yield _fault((*way, ascii(step).strip("'")), f"is a name that holds {what}: leave it out")
            yield from unfit(entry, (*way, step))
    elif isinstance(value, str) and (what := _unfit_text(value)):
        yield _fault(way, f"holds {what}: leave it out")
    elif isinstance(value, float) and not math.isfinite(value):
        yield _fault(way, "is not a number that JSON can hold: send a smaller one, and neither NaN nor Infinity")
    elif isinstance(value, int) and abs(value) > MOST_INTEGER:
        yield _fault(way, "is too large a number: send a smaller one")


def _unfit_text(text: str) -> str:
    if "\0" in text:
        return "the character NUL"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return ""


def _fault(way: Way, words: str) -> Fault:
    field = path(way).encode(errors="backslashreplace").decode()
    return Fault(field=field, message=f"{field} {words}.")


def _ignored(document: Mapping[str, Any], model: type[BaseModel], way: Way = ()) -> Iterator[str]:
    """The fields that a model passes over, and those that a model within it does."""
    if model.model_config.get("extra") != "ignore":
        return
    known = {field.alias or name: model_in(field.annotation) for name, field in model.model_fields.items()}
    for name, value in document.items():
        inner = known.get(name)
        if name not in known:
            yield path((*way, name))
        elif inner is not None and isinstance(value, dict):
            yield from _ignored(value, inner, (*way, name))
