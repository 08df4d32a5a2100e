"""E-mails: made of a template and given to a mail server.

SMTP has no way to send a mail once and no more: a worker that dies after the server took the mail and before that is recorded
(the server's answer on its way, and one write to MongoDB) sends it again when it is back. Both have the same Message-ID, by
which mailboxes tell that they are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from pydantic import Field

from jobs import mail
from jobs.document import Job
from jobs.mail import MailAddress
from providers.base import Usage
from providers.requests import Payload
from tasks.kinds import job
from tasks.run import Run

log = structlog.get_logger()


class MailOrder(Payload):
    """A mail to one address."""

    trial = {"to": "nobody@example.com", "template": "test", "data": {}}

    to: MailAddress = Field(description="Whom it goes to: one address.")
    template: Literal["completed", "test"] = Field(description="What it looks like.")
    data: dict[str, Any] = Field(default={}, description="What the template fills in.")


@dataclass(frozen=True)
class Sent:
    """The mail server has taken the mail on."""

    message_id: str
    usage: Usage = field(default_factory=Usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        return {"mail_id": self.message_id}


@job("emails", payload=MailOrder)
def send_mail(run: Run, order: MailOrder) -> Sent:
    made = mail.make(order.to, order.template, order.data, mail_id=run.job.id)
    if run.job.crashes:
        log.warning("the mail of a worker that died may be sent twice", message_id=made["Message-ID"])
    with run.reaching_out():
        mail.send(made)
    return Sent(str(made["Message-ID"]))
