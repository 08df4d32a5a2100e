"""The API's own description, OpenAPI 3.1: made from the routes, the models that validate and the shapes that answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from settings import settings
from web.body import ListOf, OneOf
from web.examples import JOB_ID, RESUME
from web.idempotency import HEADER, REPLAYED, WHAT_IT_IS
from web.identity import OPEN
from web.operations import JSON, Operation, Reply, describe, operation_of
from web.problems import ProblemDocument
from web.render import base_url

REFERENCES = "#/components/schemas/{model}"
BODY_PROBLEMS = 400, 413, 415, 422
KEY = "key"
CURL_WITH_KEY = 'curl -H "Authorization: Bearer $KEY"'
SIGNED_IN_PROBLEMS = 401, 403, 429, 503
PARAMETERS = {
    "job_id": ("The job's id.", JOB_ID),
    "queue": ("The kind, or the name of one of its queues.", "articles"),
    "resume_id": ("The resume's id, which its user has chosen.", RESUME.resume_id),
    "name": ("The file's name, as the job's links have it.", "image.png"),
}
"""What stands in paths, and an example of each."""
PROBLEMS = {
    400: "The body is empty or is not JSON.",
    401: "Nobody is signed in.",
    403: "You may not do this.",
    404: "There is no such thing, or it is another user's.",
    409: "The job's state does not allow this.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not sent as `application/json`.",
    416: "The file ends before that range.",
    422: "Some fields can't be accepted; `errors` names each, with the remedy.",
    429: "Too many requests, or too many open jobs; `Retry-After` says when to try again.",
    503: "What we need does not answer just now; `Retry-After` says when to try again.",
}
ABOUT = (
    "Order articles, images and videos made by AI. An order is answered at once with a job; "
    "the job goes on by itself, and is asked about whenever you like."
)

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
@describe(
    Operation(
        section="Health",
        summary="Fetch this description",
        detail="OpenAPI 3.1, for tools that make clients and tests.",
        replies={200: Reply(what="The OpenAPI document.", other_types=(JSON,))},
    )
)
def show() -> Response:
    return Response(json.dumps(document(current_app)), mimetype=JSON)


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of every described route."""
    paths: dict[str, dict[str, Any]] = {}
    told = list(_described(app))
    for rule, method, operation in told:
        paths.setdefault(_path(rule), {})[method.lower()] = _operation(rule, method, operation)
    sections = dict.fromkeys(operation.section for _, _, operation in told)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pressroom", "version": "1", "summary": "AI content, ordered over HTTP.", "description": ABOUT},
        "servers": [{"url": base_url()}],
        "tags": [{"name": section} for section in sections],
        "paths": paths,
        "components": {"schemas": _schemas([operation for _, _, operation in told])} | _ways_to_sign_in(),
    }


def _described(app: Flask) -> Iterator[tuple[Rule, str, Operation]]:
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, operation


def _path(rule: Rule) -> str:
    return re.sub(r"<(\w+)>", lambda found: "{" + to_camel(found[1]) + "}", rule.rule)


def _operation(rule: Rule, method: str, operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "tags": [operation.section],
        "summary": operation.summary,
        "description": operation.detail or operation.summary + ".",
        "responses": {
            **{str(status): _reply(reply, operation) for status, reply in operation.replies.items()},
            **{str(status): _problem(status) for status in _problem_statuses(rule, operation)},
        },
        "x-codeSamples": list(_curls(rule, method, operation)),
    }
    if _needs_key(rule):
        told["security"] = [{KEY: []}]
    if parameters := [*_path_parameters(rule), *_query_parameters(operation), *_header_parameters(operation)]:
        told["parameters"] = parameters
    if operation.body:
        told["requestBody"] = {"required": True, "content": {JSON: _body(operation)}}
    return told


def _problem_statuses(rule: Rule, operation: Operation) -> list[int]:
    statuses = {*operation.problems}
    statuses |= {*BODY_PROBLEMS} if operation.body else set()
    statuses |= {422} if operation.query else set()
    statuses |= {404} if rule.arguments else set()
    statuses |= {*SIGNED_IN_PROBLEMS} if not _is_open(rule) else set()
    return sorted(statuses)


def _is_open(rule: Rule) -> bool:
    return rule.endpoint.partition(".")[0] in OPEN


def _needs_key(rule: Rule) -> bool:
    return settings().auth != "off" and not _is_open(rule)


def _ways_to_sign_in() -> dict[str, Any]:
    """What tools that read this ask their users for; nothing where nobody needs a key."""
    if settings().auth == "off":
        return {}
    words = "A key, as `celery -A tasks keys create` makes it."
    return {"securitySchemes": {KEY: {"type": "http", "scheme": "bearer", "description": words}}}


def _reply(reply: Reply, operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {name: {} for name in reply.other_types}
    if reply.shape:
        shapes = reply.shape if isinstance(reply.shape, tuple) else (reply.shape,)
        references = [_reference(shape) for shape in shapes]
        answer: dict[str, Any] = {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
        if reply.example:
            answer["example"] = reply.example.model_dump(mode="json", by_alias=True)
        content = {JSON: answer} | content
    told: dict[str, Any] = {"description": reply.what}
    if content:
        told["content"] = content
    if headers := {**reply.headers, **({REPLAYED: "`true`: this was accepted before."} if operation.takes_key else {})}:
        told["headers"] = {name: {"description": words, "schema": {"type": "string"}} for name, words in headers.items()}
    return told


def _problem(status: int) -> dict[str, Any]:
    words = PROBLEMS.get(status, HTTPStatus(status).phrase)
    return {"description": words, "content": {"application/problem+json": {"schema": _reference(ProblemDocument)}}}


def _body(operation: Operation) -> dict[str, Any]:
    body = operation.body
    assert body is not None
    named = REFERENCES.format(model=body.name) if isinstance(body, OneOf | ListOf) else _reference(body)["$ref"]
    examples = {
        to_camel(name.replace(" ", "_")): {"summary": name, "value": value} for name, value in operation.examples.items()
    }
    return {"schema": {"$ref": named}, "examples": examples}


def _path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(\w+)>", rule.rule):
        words, example = PARAMETERS[name]
        yield {
            "name": to_camel(name),
            "in": "path",
            "required": True,
            "description": words,
            "schema": {"type": "string"},
            "example": example,
        }


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if not operation.query:
        return
    schema = operation.query.model_json_schema(by_alias=True, ref_template=REFERENCES)
    for name, field in schema["properties"].items():
        words = field.pop("description", "")
        required = name in schema.get("required", [])
        yield {"name": name, "in": "query", "required": required, "description": words, "schema": _without_null(field)}


def _header_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.takes_key:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        yield {"name": HEADER, "in": "header", "required": False, "description": WHAT_IT_IS, "schema": schema}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter; a query can't hold null, leaving the parameter out says it."""
    choices: list[dict[str, Any]] = [choice for choice in field.get("anyOf", []) if choice.get("type") != "null"]
    return choices[0] if choices else field


def _curls(rule: Rule, method: str, operation: Operation) -> Iterator[dict[str, str]]:
    """A command for each example, to be pasted into a shell whose variable KEY holds the user's key, where one is needed."""
    path, curl = _path(rule), CURL_WITH_KEY if _needs_key(rule) else "curl"
    for name, (_, example) in PARAMETERS.items():
        path = path.replace("{" + to_camel(name) + "}", example)
    address = base_url() + path
    for label, example in (operation.examples or {"": None}).items():
        if method == "GET":
            query = "&".join(f"{name}={value}" for name, value in (example or {}).items())
            source = f"{curl} '{address}?{query}'" if query else f"{curl} {address}"
        elif operation.body is None:
            source = f"{curl} -X {method} {address}"
        else:
            written = json.dumps(example, indent=2, ensure_ascii=False).replace("'", "'\\''").replace("\n", "\n  ")
            source = f"{curl} {address} \\\n  -H 'Content-Type: application/json' \\\n  -d '{written}'"
        yield {"lang": "Shell", "label": label or operation.summary, "source": source}


def _schemas(operations: list[Operation]) -> dict[str, Any]:
    """Every model of the operations by its name."""
    bodies: dict[type[BaseModel], None] = {}
    unions: dict[str, Mapping[str, type[BaseModel]]] = {}
    answers: dict[type[BaseModel], None] = {ProblemDocument: None}
    lists: dict[str, ListOf[Any]] = {}
    for operation in operations:
        if isinstance(operation.body, ListOf):
            lists[operation.body.name] = operation.body
        elif isinstance(operation.body, OneOf):
            unions[operation.body.name] = operation.body.models
            bodies |= dict.fromkeys(operation.body.models.values())
        elif operation.body:
            bodies[operation.body] = None
        if operation.query:
            bodies[operation.query] = None
        for reply in operation.replies.values():
            shapes = reply.shape if isinstance(reply.shape, tuple) else (reply.shape,)
            answers |= dict.fromkeys(shape for shape in shapes if shape)
    _, schemas = models_json_schema(
        [*((model, "validation") for model in bodies), *((model, "serialization") for model in answers)],
        by_alias=True,
        ref_template=REFERENCES,
    )
    named: dict[str, Any] = schemas["$defs"]
    return (
        named | {name: _union(models) for name, models in unions.items()} | {name: _list(each) for name, each in lists.items()}
    )


def _list(body: ListOf[Any]) -> dict[str, Any]:
    entries = {
        "type": "array",
        "minItems": 1,
        "maxItems": body.most,
        "items": {"$ref": REFERENCES.format(model=body.entries.name)},
    }
    return {"type": "object", "required": [body.field], "properties": {body.field: entries}, "additionalProperties": False}


def _union(models: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    references = {word: _reference(model)["$ref"] for word, model in models.items()}
    return {
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "type", "mapping": references},
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCES.format(model=model.__name__)}
