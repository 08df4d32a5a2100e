"""pydantic's errors in plain words: each names the field as it was sent, the value's fault and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from inspect import isclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from web.problems import Fault

MOST_FAULTS = 100
MOST_CHARACTERS_SHOWN = 60
NAME_OF_AN_ENTRY = "[key]"
"""pydantic's last step of the way to an object's name that is at fault."""

WHOLE_NUMBER = "{field} is {value}: send a whole number."
NUMBER = "{field} is {value}: send a number."
TEXT = "{field} is {value}: send a text."
YES_OR_NO = "{field} is {value}: send true or false."
LIST = "{field} is {value}: send a list."
OBJECT = "{field} is {value}: send an object."

IN_PLAIN_WORDS = {
    "missing": "{field} is missing: add it.",
    "field_needed": "{field} is missing: {why}.",
    "not_together": "{field} can't be sent with {other}: leave one of them out.",
    "not_in_order": "{field} can't be sent for {kind}, which are done in the order of their submission: leave it out.",
    "web_address": "{field} is {value}: {why}",
    "extra_forbidden": "{field} is an unknown field: leave it out{known}.",
    "int_type": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "int_parsing": WHOLE_NUMBER,
    "int_parsing_size": WHOLE_NUMBER,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "string_type": TEXT,
    "bool_type": YES_OR_NO,
    "bool_parsing": YES_OR_NO,
    "list_type": LIST,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "literal_error": "{field} is {value}: send {expected}.",
    "enum": "{field} is {value}: send {expected}.",
    "greater_than": "{field} is {value}: send more than {gt}.",
    "greater_than_equal": "{field} is {value}: send {ge} or more.",
    "less_than": "{field} is {value}: send less than {lt}.",
    "less_than_equal": "{field} is {value}: send {le} or less.",
    "string_too_short": "{field} is too short or empty: send at least {min_length:characters}.",
    "string_too_long": "{field} is too long: send at most {max_length:characters}.",
    "too_short": "{field} has {actual_length:entries}: send at least {min_length}.",
    "too_long": "{field} has {actual_length:entries}: send at most {max_length}.",
    "string_pattern_mismatch": "{field} is {value}: send {form}",
    "value_error": "{field} is {value}: {error}.",
}


def faults(
    error: ValidationError, model: type[BaseModel], way: Sequence[str | int] = (), most: int = MOST_FAULTS
) -> list[Fault]:
    """What is wrong with a document that `model` refused, the first of it. `way` leads to the document."""
    return [_fault(detail, model, way) for detail in error.errors(include_url=False)[:most]]


def shown(value: object) -> str:
    """A value in a sentence: a number as it is, a text shortened and quoted, the rest by what it is."""
    if isinstance(value, str):
        return f"the text {json.dumps(_shortened(value), ensure_ascii=False)}"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    return _shortened(json.dumps(value, default=str))


def path(steps: Sequence[str | int]) -> str:
    """The way to a value as the sender would write it: `jobs[3].type`; `body` for the whole."""
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return _shortened(written.removeprefix(".")) or "body"


class _Count(int):
    """A number that can name what it counts: `{:characters}`."""

    def __format__(self, things: str) -> str:
        if not things:
            return f"{int(self):,}"
        one = {"characters": "character", "entries": "entry"}[things]
        return f"{int(self):,} {one if self == 1 else things}"


def _number(value: object) -> object:
    """A whole number as people write it, whichever type the model has it in; the rest as it is."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return _Count(value) if is_whole else value  # type: ignore[call-overload] # a number


def _fault(detail: ErrorDetails, model: type[BaseModel], way: Sequence[str | int]) -> Fault:
    context: dict[str, Any] = {name: _number(value) for name, value in detail.get("ctx", {}).items()}
    if "actual_length" in context and isinstance(detail["input"], dict | list):  # which pydantic leaves open for objects
        context["actual_length"] = _Count(len(detail["input"]))
    steps = tuple(step for step in detail["loc"] if step != NAME_OF_AN_ENTRY)
    steps = (*steps, *([context["field"]] if "field" in context else []))
    field = path((*way, *steps))
    words = IN_PLAIN_WORDS.get(
        detail["type"], "{field} is {value}: " + detail["msg"].replace("{", "{{").replace("}", "}}") + "."
    )
    told = {
        **context,
        "field": field,
        "value": shown(detail["input"]),
        "known": _known(model, steps),
        "form": _form(model, steps),
    }
    return Fault(field=field, message=words.format(**told))


def _known(model: type[BaseModel], steps: Sequence[str | int]) -> str:
    for parent in _models_on(model, steps[:-1]):
        model = parent
    names = ", ".join(_name(model, name) for name in model.model_fields)
    return f"; known here are {names}" if names else ""


def _form(model: type[BaseModel], steps: Sequence[str | int]) -> str:
    """The description of the field, which says what its values look like."""
    field = None
    for parent in (model, *_models_on(model, steps[:-1])):
        field = _field(parent, str(steps[-1])) if steps else None
    words = (field and field.description) or "a text of the form that the field needs."
    return words[0].lower() + words[1:]


def _models_on(model: type[BaseModel], steps: Sequence[str | int]) -> Iterator[type[BaseModel]]:
    """The models that one passes on the way along `steps`."""
    for step in steps:
        if isinstance(step, int):  # an entry of the list that the step before led to
            continue
        field = _field(model, str(step))
        inner = model_in(field.annotation) if field is not None else None
        if inner is None:
            return
        model = inner
        yield model


def model_in(annotation: object) -> type[BaseModel] | None:
    """The model of a field: itself, the one of a list's entries, or the one that may be left out."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


def _field(model: type[BaseModel], sent_name: str) -> FieldInfo | None:
    return next((field for name, field in model.model_fields.items() if _name(model, name) == sent_name), None)


def _name(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS_SHOWN else text[: MOST_CHARACTERS_SHOWN - 1] + "…"
