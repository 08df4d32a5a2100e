"""Forms made from JSON Schema, and what is filled in read back as JSON.

A field's name in a form is its path in the document that it belongs to: `payload.wordCount`. So the API's faults, which name
fields by their paths, find theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import Any

from web.body import NotJson, read_json, unfit
from web.pages.words import spoken
from web.problems import Fault

Schema = Mapping[str, Any]

LONG_CHARACTERS = 500
"""A text that may be longer is written in several lines."""
SHORT_CHOICES = 4
"""So many are shown beside each other; more are a list to pick from."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a form. `form` says how it looks: text, area, number, check, choice, pick, lines, ticks, time, json."""

    name: str
    label: str
    form: str
    hint: str = ""
    is_required: bool = False
    choices: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    step: str = "any"
    most_characters: int | None = None
    pattern: str | None = None
    placeholder: str = ""
    value: Any = None
    """As JSON has it; None where it is left out."""
    has_default: bool = False
    faults: Sequence[str] = ()
    holds: str = "string"
    """What the entries of a list are, by JSON Schema's word."""
    governs: bool = False
    """What is chosen here is the name of the field that must be filled in."""

    @property
    def is_wide(self) -> bool:
        return self.form in {"area", "json", "ticks"} or (self.form == "text" and not self.is_aside)

    @property
    def is_aside(self) -> bool:
        """One seldom needs to touch it: it is short, and has a value that will do."""
        if self.governs:
            return False
        is_short = self.form in {"number", "check", "pick", "text", "choice"}
        return is_short and not self.is_required and (self.has_default or self.form in {"number", "check", "pick"})

    @property
    def shown(self) -> str:
        """Its value in an input."""
        if self.value is None:
            return ""
        if self.form == "lines":
            return "\n".join(map(str, self.value)) if isinstance(self.value, list) else str(self.value)
        if self.form == "json" and not isinstance(self.value, str):
            return json.dumps(self.value, indent=2, ensure_ascii=False)
        return str(self.value)

    @property
    def id(self) -> str:
        return re.sub(r"\W", "-", self.name)


def fields_of(schema: Schema, prefix: str, examples: Mapping[str, Any] | None = None) -> list[Field]:
    """The fields of an object's schema, those that must be filled in first."""
    reader = _Reader(schema.get("$defs", {}))
    required = set(schema.get("required", []))
    made = [
        reader.field(f"{prefix}{name}", name, of_field, name in required, (examples or {}).get(name))
        for name, of_field in schema.get("properties", {}).items()
    ]
    names = {each.name for each in made}
    told = [
        replace(each, governs=each.form == "choice" and {f"{prefix}{name}" for name in each.choices} <= names) for each in made
    ]
    return sorted(told, key=lambda each: not each.is_required)


def filled(fields: Sequence[Field], document: Mapping[str, Any]) -> list[Field]:
    """The fields with the values that a document has at their paths."""
    return [replace(each, value=found) if (found := _at(document, each.name)) is not None else each for each in fields]


def blamed(fields: Sequence[Field], faults: Sequence[Fault]) -> tuple[list[Field], list[str]]:
    """The fields with their faults in words, and the faults of no field that is shown."""
    by_name: dict[str, list[str]] = {each.name: [] for each in fields}
    others = []
    for fault in faults:
        owner = next((name for name in by_name if re.match(rf"{re.escape(name)}($|[.\[])", fault.field)), None)
        if owner:
            by_name[owner].append(_in_form(fault, owner))
        else:
            others.append(fault.message)
    return [replace(each, faults=by_name[each.name]) for each in fields], others


@dataclass
class Filled:
    """What a form says: the document, and what could not be read."""

    document: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    zone: tzinfo = UTC
    """Of the times in it."""


def read_form(fields: Sequence[Field], form: Mapping[str, str], ticked: Mapping[str, Sequence[str]]) -> Filled:
    """The document of what is filled in. What is empty is left out; what is no number stays as it was written, and is refused
    by whoever validates the document. What no document can hold is a fault."""
    read = Filled()
    for each in fields:
        text = form.get(each.name, "").replace("\r\n", "\n").strip()
        try:
            value = _value(each, text, ticked.get(each.name, ()))
            faults = list(unfit(value, (each.name,)))
        except NotJson as error:
            faults = [Fault(field=each.name, message=f"This {error}")]
        if faults:
            value = text
            read.faults += faults
        if value is not None:
            _put(read.document, each.name, value)
    return read


def _value(each: Field, text: str, ticked: Sequence[str]) -> Any:
    if each.form == "check":
        return bool(ticked)
    if each.form == "ticks":
        return [_typed(entry, each.holds) for entry in ticked] or None
    if not text:
        return None
    if each.form == "lines":
        return [_typed(line.strip(), each.holds) for line in text.split("\n") if line.strip()]
    if each.form == "json":
        return read_json(text)
    return _typed(text, each.holds)


def _typed(text: str, holds: str) -> Any:
    if holds == "integer" and re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    if holds in ("number", "integer") and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        return float(text)
    return text


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for step in way:
        document = document.setdefault(step, {})
    document[last] = value


def _at(document: Mapping[str, Any], path: str) -> Any:
    found: Any = document
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _in_form(fault: Fault, owner: str) -> str:
    """The fault beside its field, which needs no name there: `is missing: add it` becomes `Missing: add it`. What is at fault
    deep inside of it is named by the path from there."""
    inside = fault.field.removeprefix(owner)
    entry = re.fullmatch(r"\[(\d+)\]", inside)
    if inside and not entry:
        return fault.message.removeprefix(owner).removeprefix(".")
    words = fault.message.removeprefix(fault.field).removeprefix(owner).strip()
    words = re.sub(r"^is (the text )?", "", words)
    if entry:
        words = f"line {int(entry[1]) + 1}: {words}"
    return words[:1].upper() + words[1:]


class _Reader:
    """Reads the schema of a field."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def field(self, path: str, name: str, schema: Schema, is_required: bool, example: Any) -> Field:
        said, can_be_null = self._plain(schema)
        form, holds, choices = self._form(said)
        default = said.get("default")
        if form == "choice" and default is None and not is_required:
            form = "pick"  # which can be left empty
        if form == "area" and name.lower().endswith("url"):
            form = "text"
        example = next(iter(said.get("examples", [])), example)
        return Field(
            name=path,
            label=spoken(name),
            form=form,
            hint=said.get("description", ""),
            is_required=is_required and not can_be_null,
            choices=choices,
            least=said.get("minimum", said.get("exclusiveMinimum")),
            most=said.get("maximum", said.get("exclusiveMaximum")),
            step="1" if said.get("type") == "integer" else "any",
            most_characters=said.get("maxLength"),
            pattern=said.get("pattern"),
            placeholder=_placeholder(example, form),
            value=default if default not in ([], {}) else None,
            has_default=default not in (None, [], {}),
            holds=holds,
        )

    def _form(self, said: Schema) -> tuple[str, str, list[str]]:
        """How it looks, what it holds, and what there is to choose from."""
        kind = said.get("type", "string" if "enum" in said else "object")
        if "enum" in said:
            choices = [str(each) for each in said["enum"]]
            return ("choice" if len(choices) <= SHORT_CHOICES else "pick"), kind, choices
        if kind == "array":
            entries, _ = self._plain(said.get("items", {}))
            if "enum" in entries:
                return "ticks", entries.get("type", "string"), [str(each) for each in entries["enum"]]
            holds = entries.get("type", "object")
            return ("lines" if holds in ("string", "integer", "number") else "json"), holds, []
        if kind == "boolean":
            return "check", kind, []
        if kind in ("integer", "number"):
            return "number", kind, []
        if kind == "string":
            if said.get("format") == "date-time":
                return "time", kind, []
            return ("area" if said.get("maxLength", 0) > LONG_CHARACTERS else "text"), kind, []
        return "json", "object", []

    def _plain(self, schema: Schema) -> tuple[Schema, bool]:
        """The schema without references and without its null; whether it may be null."""
        said = dict(schema)
        if reference := said.pop("$ref", None):
            said = {**self._plain(self._definitions[reference.rpartition("/")[2]])[0], **said}
        choices = list(self._not_null(said))
        can_be_null = len(choices) < len(said.get("anyOf", []))
        if choices:
            first, _ = self._plain(choices[0])
            said = {**first, **{name: value for name, value in said.items() if name != "anyOf"}}
        if "const" in said:
            said = {**said, "enum": [said["const"]]}
        return said, can_be_null

    @staticmethod
    def _not_null(said: Schema) -> Iterator[Schema]:
        return (each for each in said.get("anyOf", []) if each.get("type") != "null")


def _placeholder(example: Any, form: str) -> str:
    if example is None or form in ("check", "choice", "pick", "ticks"):
        return ""
    if isinstance(example, list):
        return "e.g. " + "\n".join(map(str, example))
    return f"e.g. {json.dumps(example, indent=2, ensure_ascii=False) if isinstance(example, dict) else example}"
