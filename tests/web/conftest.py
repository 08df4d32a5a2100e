"""The web application over a real MongoDB and SQS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.keys import keys
from jobs.roles import Role
from tests.conftest import NOWHERE
from web import create_app
from web.live import live


@pytest.fixture
def client(database: Any, queues: Any, environment: Any) -> Iterator[FlaskClient]:
    """A client of the application, with an empty database and empty queues. No stream and no thread of it outlives its test.

    (Streams are ended before the environment is put back: after that the process has other ones.)
    """
    before = logging.getLogger().handlers[:]
    yield create_app().test_client()
    live().end()
    logging.getLogger().handlers[:] = before


@pytest.fixture
def unsent(database: Any, environment: Any) -> Iterator[FlaskClient]:
    """A client of the application where SQS can't be reached: jobs are accepted and not sent. For what asks for no queue."""
    nowhere = f"http://{NOWHERE}"
    environment(AWS_ENDPOINT_URL=nowhere, AWS_ENDPOINT_URL_SQS=nowhere)
    before = logging.getLogger().handlers[:]
    yield create_app().test_client()
    live().end()
    logging.getLogger().handlers[:] = before


@pytest.fixture
def signed_in(unsent: FlaskClient, environment: Any) -> Callable[..., FlaskClient]:
    """A client that sends a key: of this user, in this role. From here on nobody is answered without one."""
    environment(AUTH="keys")

    def sign_in(user_id: str = "ada", role: Role = Role.USER) -> FlaskClient:
        theirs: FlaskClient = unsent.application.test_client()
        theirs.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys().create(user_id, role)[1]}"
        return theirs

    return sign_in


@pytest.fixture
def lonely_client(environment: Any) -> Iterator[FlaskClient]:
    """A client of the application where neither MongoDB nor SQS can be reached; for what needs neither."""
    nowhere = f"http://{NOWHERE}"
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/", AWS_ENDPOINT_URL=nowhere, AWS_ENDPOINT_URL_SQS=nowhere)
    before = logging.getLogger().handlers[:]
    yield create_app().test_client()
    logging.getLogger().handlers[:] = before
