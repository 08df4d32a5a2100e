"""How a command says what went wrong: one line on stderr, exit status 1, no traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import IO, Any, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """What was asked can't be done; the message says why, and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        context = click.get_current_context(silent=True)  # gone when the error is shown
        self._command = context.command_path.partition(" ")[2] if context else ""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"{self._command}: {self.message}" if self._command else self.message, err=True)


def said_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn SQS or MongoDB being away, wrong settings and wrong credentials into `Refused`. Logs errors only, to stderr."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _log_errors_only()
            return command(*args, **kwargs)
        except Exception as error:
            if (words := in_plain_words(error)) is None:
                raise
            raise Refused(words) from None

    return run


def in_plain_words(error: Exception) -> str | None:
    """What happened, in a line for whoever gave the command; None for what nobody foresaw."""
    # loaded here: whatever stands in `cli` is loaded at every call of celery
    from jobs.database import DatabaseUnavailable, PyMongoError
    from jobs.draining import QueueDraining
    from queues.clients import QueueError, QueueUnavailable
    from settings import SettingsError

    match error:
        case QueueUnavailable():
            return f"SQS does not answer: {_line(error)}"
        case QueueError() | QueueDraining():
            return _line(error)
        case SettingsError():
            return str(error)
        case DatabaseUnavailable():
            return f"MongoDB can't be reached: {_line(error)}. MONGODB_URI says where it is."
        case PyMongoError():
            return f"MongoDB refuses: {_line(error)}. MONGODB_URI says where it is, and who asks."
    return None


def _line(error: Exception) -> str:
    """pymongo's errors go on with time-outs and the whole topology, over lines."""
    text = str(error)
    for marker in (" (configured timeouts", ", Timeout:", ", full error:"):
        text = text.partition(marker)[0]
    return " ".join(text.split()).rstrip(".") + ("." if text.rstrip().endswith(".") else "")


def _log_errors_only() -> None:
    import logging

    from monitoring.logs import configure_logging

    configure_logging()
    logging.getLogger().setLevel(logging.ERROR)  # a command says itself what it did
