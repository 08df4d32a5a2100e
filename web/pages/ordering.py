"""From a form that is filled in to an order, by the models that the API validates with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationError
from werkzeug.datastructures import MultiDict

from jobs.document import Job
from jobs.submit import Order
from queues.catalogue import KINDS
from settings import settings
from tasks.kinds import payload_model
from web.body import refused
from web.faults import faults
from web.identity import User
from web.ordering import JOB_ORDER
from web.pages.forms import Field, Filled, fields_of, read_form

NOT_IN_ORDER = {"runAt", "priority", "provider", "modelId"}
"""What means nothing to a kind whose jobs are done one after another."""
LASTING_SECONDS = (3_600, 6 * 3_600, 86_400, 3 * 86_400, 7 * 86_400)
WORDS: Mapping[str, tuple[str, str]] = {
    "priority": ("Priority", "High starts before what waits as normal."),
    "runAt": ("Start at", "Left empty, it starts as soon as there is a worker."),
    "expiresIn": ("Must start within", "If it has not started by then, it expires."),
    "provider": ("AI provider", "Who makes it."),
    "modelId": ("Model", "As the provider calls it."),
    "callbackUrl": ("Webhook", "An https address that is told when the job ends."),
}


def fields_of_kind(kind: str) -> list[Field]:
    """The fields of the kind's payload, and of the order around it."""
    payload = payload_model(kind)
    schema = JOB_ORDER.models[kind].model_json_schema(by_alias=True)
    asked = {name: each for name, each in schema["properties"].items() if name in WORDS and _applies(name, kind)}
    around = fields_of({**schema, "properties": asked, "required": []}, "")
    return [
        *fields_of(payload.model_json_schema(by_alias=True), "payload.", payload.trial),
        *sorted(map(_worded, around), key=lambda each: [*WORDS].index(each.name)),
    ]


def read(fields: list[Field], form: MultiDict[str, str]) -> Filled:
    """What the form says. Times are of the zone that it names."""
    written = read_form(fields, form, {each.name: form.getlist(each.name) for each in fields})
    zone = form.get("zone", "")
    written.zone = ZoneInfo(zone) if zone in available_timezones() else UTC
    return written


def order_of(kind: str, written: Filled, user: User, *, key: str) -> Order:
    """The order. The same one given twice under a key is one job: a form may be sent twice.

    Raises:
        Problem: 422, with the fields at fault.
    """
    if written.faults:
        raise refused(written.faults)
    model = JOB_ORDER.models[kind]
    document = {"type": kind, "payload": {}, **_with_zones(written)}
    try:
        said = model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise refused(faults(error, model)) from None
    alike = json.dumps([user.id, key, document], sort_keys=True)
    return replace(said.order(user.id), job_id=uuid5(NAMESPACE_URL, alike).hex if key else None)


def document_of(job: Job) -> dict[str, Any]:
    """The order that the job was, for another one like it."""
    return {"payload": dict(job.payload), "priority": job.priority, "provider": job.provider, "modelId": job.model_id}


def _applies(name: str, kind: str) -> bool:
    if KINDS[kind].fifo and name in NOT_IN_ORDER:
        return False
    return name != "priority" or KINDS[kind].has_high_lane


def _worded(each: Field) -> Field:
    label, hint = WORDS[each.name]
    changes: dict[str, dict[str, Any]] = {
        "expiresIn": {"form": "pick", "choices": [str(seconds) for seconds in LASTING_SECONDS], "placeholder": "no limit"},
        "provider": {"form": "pick", "placeholder": f"the server's own choice ({settings().provider_name})"},
        "modelId": {"placeholder": "the provider's own choice"},
        "callbackUrl": {"placeholder": "https://example.com/hook"},
    }
    return replace(each, label=label, hint=hint, **changes.get(each.name, {}))


def _with_zones(written: Filled) -> dict[str, Any]:
    """The document, its time to start with its zone."""
    document = dict(written.document)
    if "runAt" in document:
        try:
            local = datetime.fromisoformat(document["runAt"]).replace(tzinfo=written.zone)
        except ValueError:
            return document  # whoever validates it says what is wrong with it
        document["runAt"] = local.isoformat()
    return document
