"""The API's documentation as a page, made from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template
from markupsafe import Markup, escape

from jobs.life import Status
from web.openapi import document
from web.problems import Fault, ProblemDocument

Schema = Mapping[str, Any]

STATES = {
    Status.SCHEDULED: "It is to start later.",
    Status.QUEUED: "It waits for a worker.",
    Status.PROCESSING: "A worker has it.",
    Status.RETRYING: "An attempt did not succeed; the next one follows by itself.",
    Status.COMPLETED: "It is done, and its result is there.",
    Status.FAILED: "It did not succeed; `error` says why.",
    Status.CANCELLED: "Its user ended it.",
    Status.EXPIRED: "It did not start in the time it was given.",
}

PROBLEM_EXAMPLE = ProblemDocument(
    title=HTTPStatus.UNPROCESSABLE_ENTITY.phrase,
    status=422,
    detail="Not accepted. At fault: payload.wordCount.",
    errors=[Fault(field="payload.wordCount", message="payload.wordCount is -1: send 50 or more.")],
).model_dump(exclude_none=True)

KINDS_OF_VALUE = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}

blueprint = Blueprint("docs", __name__)


@blueprint.get("/docs")
def show() -> Response:
    described = document(current_app)
    nonce = token_urlsafe(16)
    sections = _sections(described)
    response = make_response(
        render_template(
            "docs.html",
            nonce=nonce,
            api=described,
            base=described["servers"][0]["url"],
            sections=sections,
            states=STATES,
            problem_example=json.dumps(PROBLEM_EXAMPLE, indent=2),
            calls={call.id: call for calls in sections.values() for call in calls},
        )
    )
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response


@blueprint.app_template_filter("prose")
def prose(text: str) -> Markup:
    """A description as HTML: what stands in backquotes is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # escaped before anything is marked up


@dataclass(frozen=True, kw_only=True)
class Row:
    """A field in a table."""

    name: str
    kind: str
    is_required: bool
    words: str
    limits: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """The fields of one model, or of one of several that are possible."""

    title: str
    rows: list[Row]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One possible answer of a call."""

    status: int
    phrase: str
    words: str
    types: list[str]
    tables: list[Table]
    example: str

    @property
    def is_problem(self) -> bool:
        return self.status >= 400


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API."""

    id: str
    method: str
    path: str
    summary: str
    words: str
    parameters: list[Row]
    bodies: list[Table]
    samples: list[Mapping[str, str]]
    answers: list[Answer]


def _sections(described: Schema) -> dict[str, list[Call]]:
    """The calls by their section."""
    reader = _Reader(described["components"]["schemas"])
    sections: dict[str, list[Call]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            sections[operation["tags"][0]].append(_call(reader, path, method, operation))
    return sections


def _call(reader: _Reader, path: str, method: str, operation: Schema) -> Call:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return Call(
        id=operation["operationId"].replace("_", "-"),
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        words=operation["description"],
        parameters=[
            reader.row(each["name"], each["schema"] | {"description": each["description"]}, is_required=each["required"])
            for each in operation.get("parameters", [])
        ],
        bodies=reader.tables(body) if body else [],
        samples=operation["x-codeSamples"],
        answers=[_answer(reader, int(status), answer) for status, answer in operation["responses"].items()],
    )


def _answer(reader: _Reader, status: int, answer: Schema) -> Answer:
    content = answer.get("content", {})
    shape = content.get("application/json", {}).get("schema")
    example = content.get("application/json", {}).get("example")
    return Answer(
        status=status,
        phrase=HTTPStatus(status).phrase,
        words=answer["description"],
        types=list(content),
        tables=reader.tables(shape) if shape else [],
        example=json.dumps(example, indent=2, ensure_ascii=False) if example else "",
    )


class _Reader:
    """Reads JSON Schema into tables."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas

    def tables(self, schema: Schema) -> list[Table]:
        """A table for each model that the schema allows."""
        schema = self._resolved(schema)
        choices = schema.get("oneOf") or schema.get("anyOf")
        if choices:
            return [table for choice in choices for table in self.tables(choice)]
        return [Table(title=schema.get("description", ""), rows=list(self._rows(schema)))]

    def row(self, name: str, schema: Schema, *, is_required: bool) -> Row:
        """One field."""
        schema = self._flat(schema)
        return Row(
            name=name,
            kind=self._kind(schema),
            is_required=is_required,
            words=schema.get("description", ""),
            limits=", ".join(_limits(schema)),
        )

    def _rows(self, schema: Schema, before: str = "") -> Iterator[Row]:
        fields = schema.get("properties", {}).items()
        for name, field in sorted(fields, key=lambda each: "const" not in each[1]):  # what tells models apart comes first
            yield self.row(before + name, field, is_required=name in schema.get("required", []))
            inner = self._flat(field)
            if inner.get("type") == "array":
                yield from self._rows(self._flat(inner["items"]), f"{before}{name}[].")
            else:
                yield from self._rows(inner, f"{before}{name}.")

    def _resolved(self, schema: Schema) -> Schema:
        """The schema with what it refers to put in; what stands beside the reference wins."""
        if "$ref" not in schema:
            return schema
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {**self._schemas[schema["$ref"].rpartition("/")[2]], **rest}

    def _flat(self, schema: Schema) -> Schema:
        """The schema of a field that may be null, as that of the field."""
        choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
        if len(choices) != 1:
            return self._resolved(schema)
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        is_nullable = len(schema["anyOf"]) > len(choices)
        return {**self._resolved(choices[0]), **rest, "x-nullable": is_nullable}

    def _kind(self, schema: Schema) -> str:
        if schema.get("format") == "date-time":
            kind = "time"
        elif schema.get("type") == "array":
            kind = f"list of {self._kind(self._flat(schema['items']))}s"
        else:
            kind = KINDS_OF_VALUE.get(schema.get("type", ""), "any value")
        return f"{kind} or null" if schema.get("x-nullable") else kind


def _limits(schema: Schema) -> Iterator[str]:
    """What a field's value may be, in a few words."""
    if "const" in schema:
        yield f"always `{_written(schema['const'])}`"
        return
    if "enum" in schema:
        yield "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    yield from _between(schema, "minimum", "maximum", "")
    yield from _between(schema, "minLength", "maxLength", " characters")
    yield from _between(schema, "minItems", "maxItems", " entries")
    if schema.get("default") not in (None, [], ""):
        yield f"default `{_written(schema['default'])}`"


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _between(schema: Schema, low: str, high: str, unit: str) -> Iterator[str]:
    least, most = schema.get(low), schema.get(high)
    if least is not None and most is not None:
        yield f"{least:,} to {most:,}{unit}"
    elif most is not None:
        yield f"at most {most:,}{unit}"
    elif least is not None:
        yield f"at least {least:,}{unit}"
