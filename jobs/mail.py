"""Mails: each made of a template in text and HTML, and sent by SMTP (`SMTP_URL`, `MAIL_FROM`).

A template is `jobs/templates/<name>.txt`, whose first line is the subject, and `<name>.html`.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, localtime, parseaddr
from functools import cache
from ipaddress import ip_address
from threading import Thread
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError, select_autoescape
from pydantic import AfterValidator, StringConstraints

from jobs.errors import InvalidPayload, Permanent, Retryable
from settings import settings

MOST_SUBJECT_CHARACTERS = 150
ANSWER_SECONDS = 20
PORTS = {"smtp": 587, "smtps": 465}


class NoMailServer(Permanent):
    """This server sends no mail: SMTP_URL is not set. Set it, then retry the mail's job."""

    code = "internal"


class MailServerFails(Retryable):
    """The mail server can't be reached, or is busy. The mail is tried again."""


class MailRefused(Permanent):
    """The mail server refuses this mail."""


def _is_address(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):  # the parser's, for what is no address at all
        address = None
    if address is None or not re.fullmatch(r"[^\s@<>(),;:\\\"\[\]]+@[^\s@<>(),;:\\\"\[\]]+", text) or not text.isprintable():
        raise ValueError("send one address, as in ada@example.org")
    return text


MailAddress = Annotated[str, StringConstraints(max_length=254), AfterValidator(_is_address)]
"""Whom a mail goes to, in an order."""


def make(to: str, template: str, data: Mapping[str, Any], *, mail_id: str) -> EmailMessage:
    """The mail. `mail_id` makes its Message-ID: the same at each try, so that a mail that was sent twice can be told to be one.

    Raises:
        InvalidPayload: `data` lacks what the template needs.
        NoMailServer: nobody has said who mails are from.
    """
    sender = settings().mail_from
    if sender is None:
        raise NoMailServer
    try:
        subject, _, text = _templates().get_template(f"{template}.txt").render(data).partition("\n")
        html = _templates().get_template(f"{template}.html").render(data)
    except UndefinedError as error:
        raise InvalidPayload(f"data: the template {template!r} needs more: {error}.") from None
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = _on_one_line(subject)
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{mail_id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text.strip() + "\n")
    mail.add_alternative(html, subtype="html")
    return mail


def send(mail: EmailMessage) -> None:
    """Give the mail to the server. When this returns the server has taken it on.

    Raises:
        MailServerFails: it is worth another try. (Where the connection broke after the last line, the server may have it.)
        MailRefused: it is not.
        NoMailServer: there is none.
    """
    with _in_our_words(), _server() as server:
        server.send_message(mail)


@contextmanager
def _server() -> Iterator[smtplib.SMTP]:
    """A connection, encrypted where the server can, and signed in where the settings say as whom."""
    if settings().smtp_url is None:
        raise NoMailServer
    url = urlsplit(str(settings().smtp_url))
    host, port = str(url.hostname), url.port or PORTS[url.scheme]
    name = socket.gethostname()  # smtplib would ask the DNS for a longer one, which takes long where nobody knows it
    tls = ssl.create_default_context()
    server: smtplib.SMTP
    if url.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, port, local_hostname=name, timeout=ANSWER_SECONDS, context=tls)
    else:
        server = smtplib.SMTP(host, port, local_hostname=name, timeout=ANSWER_SECONDS)
    try:
        server.ehlo_or_helo_if_needed()
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=tls)
        elif url.scheme == "smtp" and url.username and not _is_this_machine(host):
            raise MailRefused(
                "The mail server of SMTP_URL offers no encryption, so the password is not sent to it. Use smtps://."
            )
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        yield server
    finally:  # what was sent is sent: while the server is slow to say good-bye, a kill would send it again
        Thread(target=_part_from, args=(server,), name="good-bye", daemon=True).start()


def _part_from(server: smtplib.SMTP) -> None:
    with suppress(smtplib.SMTPException, OSError):
        server.quit()
    server.close()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:  # our own fault, and soon mended
        raise MailServerFails(f"The mail server does not take SMTP_URL's name and password ({error.smtp_code}).") from error
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()))
        raise _refusal(code, reason) from error
    except smtplib.SMTPResponseException as error:
        raise _refusal(error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused(f"The mail server can't do what this mail needs: {error}.") from error
    except (smtplib.SMTPException, OSError) as error:  # a certificate that nobody trusts is among them
        raise MailServerFails(
            f"The mail server can't be reached, or broke off: {_on_one_line(str(error))}. The mail is tried again."
        ) from error


def _refusal(code: int, reason: bytes | str) -> MailRefused | MailServerFails:
    words = _on_one_line(reason.decode(errors="replace") if isinstance(reason, bytes) else reason)
    if 500 <= code < 600:
        return MailRefused(f"The mail server refuses this mail: {code} {words}")
    return MailServerFails(f"The mail server puts this mail off: {code} {words}")


def _on_one_line(text: str) -> str:
    return " ".join(text.split())[:MOST_SUBJECT_CHARACTERS]


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("jobs"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=lambda value: " ".join(value.split()) if isinstance(value, str) else value,  # what is filled in keeps its line
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["one"] = lambda kind: kind.removesuffix("s")
    return made
