"""Mails, given to a real mail server."""

from __future__ import annotations

import asyncio
import email
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from threading import Event
from typing import Any, get_args

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from structlog.typing import EventDict

from devstack.server import free_port
from jobs.document import Job
from jobs.errors import JobError
from jobs.submit import Order, submit
from settings import CHECKOUT
from tasks.emails import MailOrder
from tests.certificates import self_signed
from tests.conftest import NOWHERE
from tests.jobs.waiting import PAST
from tests.tasks.attempts import attempt
from tests.workers import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("database")

Environment = Callable[..., None]


class Inbox:
    """A mail server on this machine: takes what it is told to take, and keeps it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        """By the command's name (`RCPT`, `DATA`): what it says instead of 250."""
        self.was_encrypted: list[bool] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=default))
        self.was_encrypted.append(session.ssl is not None)
        return "250 OK"


@contextmanager
def mail_server(inbox: Inbox, kind: type[Controller] = Controller, **options: Any) -> Iterator[int]:
    port = free_port()
    place: dict[str, Any] = {"hostname": "127.0.0.1", "port": port, "server_hostname": "localhost"}
    controller = kind(inbox, ready_timeout=PATIENCE_SECONDS, **place, **options)
    controller.start()
    yield port
    controller.stop()


@pytest.fixture
def inbox(environment: Environment) -> Iterator[Inbox]:
    inbox = Inbox()
    with mail_server(inbox) as port:
        environment(SMTP_URL=f"smtp://127.0.0.1:{port}", MAIL_FROM="Pressroom <news@press.example>")
        yield inbox


def order(to: str = "ada@example.org", **data: str) -> Job:
    given = {"kind": "videos", "jobId": "6b02", "subject": "Bees & <b>wasps</b>", "url": "https://press.example/jobs/6b02"}
    payload = {"to": to, "template": "completed", "data": given | data}
    return submit(Order(kind="emails", payload=payload, user_id="ada"))


def parts(made: EmailMessage) -> tuple[str, str]:
    plain, html = made.get_body(("plain",)), made.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


def test_a_mail_comes_as_text_and_as_html_under_an_id_of_its_job(inbox: Inbox) -> None:
    job = order()
    assert attempt(job).result == {"mail_id": f"<{job.id}@press.example>"}
    (made,) = inbox.mails
    assert (made["From"], made["To"]) == ("Pressroom <news@press.example>", "ada@example.org")
    assert made["Subject"] == "Your video is ready: Bees & <b>wasps</b>"
    assert made["Message-ID"] == f"<{job.id}@press.example>"
    text, html = parts(made)
    assert "Bees & <b>wasps</b>" in text
    assert "https://press.example/jobs/6b02" in text
    assert "Bees &amp; &lt;b&gt;wasps&lt;/b&gt;" in html


def test_what_is_filled_in_adds_no_header_and_no_line(inbox: Inbox) -> None:
    attempt(order(subject="Bees\r\nBcc: eve@example.org\r\n\r\nDear Eve"))
    (made,) = inbox.mails
    assert made["Subject"] == "Your video is ready: Bees Bcc: eve@example.org Dear Eve"
    assert made["Bcc"] is None
    assert made["X-RcptTo"] is None


@pytest.mark.parametrize(
    "to",
    ["ada", "ada@", "a@b, c@d", "Ada <ada@example.org>", "ada@example.org\r\nBcc: eve@example.org", "ada@exa mple.org", ""],
)
def test_what_is_no_single_address_is_refused(inbox: Inbox, to: str) -> None:
    with pytest.raises(JobError, match="to: ") as raised:
        attempt(order(to))
    assert (raised.value.code, inbox.mails) == ("invalid_payload", [])


@pytest.mark.parametrize(
    ("command", "answer", "is_retryable"),
    [
        ("RCPT", "450 Mailbox busy", True),
        ("RCPT", "550 No such user", False),
        ("DATA", "451 Try again", True),
        ("DATA", "554 No spam", False),
    ],
)
def test_the_servers_answer_decides_whether_the_mail_is_tried_again(
    inbox: Inbox, command: str, answer: str, is_retryable: bool
) -> None:
    inbox.answers[command] = answer
    with pytest.raises(JobError, match=answer) as raised:
        attempt(order())
    assert raised.value.retryable is is_retryable


def test_a_server_that_is_away_is_tried_again_and_none_at_all_is_said(database: Any, environment: Environment) -> None:
    environment(SMTP_URL=f"smtp://{NOWHERE}", MAIL_FROM="news@press.example")
    with pytest.raises(JobError, match="can't be reached") as raised:
        attempt(order())
    assert raised.value.retryable
    environment(SMTP_URL=None)
    with pytest.raises(JobError, match="SMTP_URL is not set") as raised:
        attempt(order())
    assert not raised.value.retryable


def test_a_template_that_lacks_something_says_what(inbox: Inbox) -> None:
    job = submit(Order(kind="emails", payload={"to": "ada@example.org", "template": "completed", "data": {}}, user_id="ada"))
    with pytest.raises(JobError, match="'kind' is undefined"):
        attempt(job)


def test_a_name_and_a_password_travel_encrypted(environment: Environment, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    inbox = Inbox()
    signed_in: list[Any] = []

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        signed_in.append(data)
        return AuthResult(success=data.password == b"p@ss", handled=False)

    with mail_server(inbox, tls_context=tls, auth_required=True, authenticator=authenticate) as port:
        named = {"SSL_CERT_FILE": str(certificate), "MAIL_FROM": "news@press.example"}
        environment(SMTP_URL=f"smtp://ada:p%40ss@localhost:{port}", **named)
        attempt(order())
        assert inbox.was_encrypted == [True]
        environment(SMTP_URL=f"smtp://ada:wrong@localhost:{port}", **named)
        with pytest.raises(JobError, match="SMTP_URL's name and password") as raised:
            attempt(order())
        assert raised.value.retryable
    assert [login.password for login in signed_in] == [b"p@ss", b"wrong", b"wrong"]  # by two of its methods


def test_every_template_is_there_in_both_forms_and_can_be_ordered() -> None:
    files = {path.name for path in (CHECKOUT / "jobs" / "templates").iterdir()}
    names = get_args(MailOrder.model_fields["template"].annotation)
    assert files == {f"{name}.{form}" for name in names for form in ("txt", "html")}


def test_the_servers_good_bye_is_not_waited_for_with_the_mail_unrecorded(database: Any, environment: Environment) -> None:
    is_recorded, has_parted = Event(), Event()

    class Slow(SMTP):
        async def smtp_QUIT(self, arg: str) -> None:
            while not is_recorded.is_set():  # whoever waits for the answer gives up first, and cuts this off
                await asyncio.sleep(0.01)
            has_parted.set()
            await super().smtp_QUIT(arg)

    class SlowController(Controller):
        def factory(self) -> SMTP:
            return Slow(self.handler)

    inbox = Inbox()
    with mail_server(inbox, SlowController) as port:
        environment(SMTP_URL=f"smtp://127.0.0.1:{port}", MAIL_FROM="news@press.example")
        attempt(order())
        assert len(inbox.mails) == 1
        is_recorded.set()
        assert has_parted.wait(PATIENCE_SECONDS)


def test_a_mail_whose_worker_died_before_its_record_comes_again_as_the_same_mail(
    inbox: Inbox, database: Any, logged_by: Callable[[str], list[EventDict]]
) -> None:
    job = order()
    attempt(job)  # and the worker dies
    database.jobs.update_one({"_id": job.id}, {"$set": {"lease.expires_at": PAST}})
    lines = logged_by("tasks.emails")
    attempt(job)
    first, second = inbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert [line["message_id"] for line in lines if "may be sent twice" in line["event"]] == [first["Message-ID"]]
