"""`celery -A tasks keys …`"""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.keys import keys as command
from jobs.keys import keys
from tests.conftest import NOWHERE


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words, prog_name="keys")


def test_a_key_is_shown_once_alone_on_stdout(database: Any) -> None:
    made = run("create", "--user", "ada", "--role", "operator", "--name", "Ada's laptop")
    secret = made.stdout.strip()
    assert secret.startswith("pr_")
    found = keys().of(secret)
    assert found is not None
    assert (found.user_id, found.role, found.name) == ("ada", "operator", "Ada's laptop")
    for shown in (run("list").stdout, run("list", "--json").stdout):
        assert found.id in shown
        assert "Ada's laptop" in shown
        assert secret not in shown


def test_a_revoked_key_is_listed_as_such_and_revoking_it_again_changes_nothing(database: Any) -> None:
    made = json.loads(run("create", "--user", "ada", "--json").stdout)
    first, again = (json.loads(run("revoke", made["id"], "--json").stdout) for _ in range(2))
    assert first == again
    assert first["revokedAt"]
    assert "revoked" in run("list", "--user", "ada").stdout
    assert run("list", "--user", "bob").stdout == ""
    assert keys().of(made["key"]) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("revoke", "nothing"), "There is no key nothing. `celery -A tasks keys list` shows"),
        (("revoke", "pr_secret"), "This is a key, not a key's ID."),
        (("create", "--user", "two words"), "the user 'two words' can't be: an id is 1 to 256 characters without spaces"),
        (("create", "--user", "ada", "--role", "king"), "'king' is not one of"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_line(database: Any, words: tuple[str, ...], says: str) -> None:
    told = run(*words)
    assert told.exit_code != 0
    assert says in told.stderr
    assert "Traceback" not in told.output


def test_with_mongodb_away_it_says_so(environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/")
    told = run("list")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "MongoDB can't be reached" in told.stderr
