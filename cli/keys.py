"""`celery -A tasks keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, said_plainly
from cli.output import json_option, print_json

if TYPE_CHECKING:
    from jobs.keys import Key


@click.group()
def keys() -> None:
    """Keys of the API and the pages: who may ask, as whom, and what for."""


@keys.command("create")
@click.option("--user", "user_id", required=True, help="Whose jobs its holder orders and sees.")
@click.option(
    "--role",
    type=click.Choice(["user", "operator", "viewer"]),
    default="user",
    show_default=True,
    help="user: own jobs. operator: everything. viewer: sees what an operator sees, changes nothing.",
)
@click.option("--name", default="", help="For people: whose it is, or what for.")
@json_option
@said_plainly
def create_key(user_id: str, role: str, name: str, as_json: bool) -> None:
    """Make a key. It is shown now and never again: only its hash is kept."""
    from jobs.keys import keys as known
    from jobs.roles import Role

    try:
        key, secret = known().create(user_id, Role(role), name)
    except ValueError as error:
        raise Refused(f"{error}.") from None
    if as_json:
        print_json({**_as_json(key), "key": secret})
        return
    click.echo(secret)
    click.echo(f"Key {key.id} of {key.user_id}, role {key.role}. It is not shown again.", err=True)


@keys.command("list")
@click.option("--user", "user_id", help="Only this user's.")
@json_option
@said_plainly
def list_keys(user_id: str | None, as_json: bool) -> None:
    """Show all keys, revoked ones too: whose, what for, when used last (to the minute)."""
    from jobs.keys import keys as known

    found = [key for key in known().all() if user_id in (None, key.user_id)]
    if as_json:
        print_json({"keys": [_as_json(key) for key in found]})
        return
    for key in found:
        used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else used
        click.echo(f"{key.id}  {key.role:<8}  {key.user_id}  made {key.created_at:%Y-%m-%d}, {state}  {key.name}".rstrip())
    if not found:
        click.echo("There are no keys. `celery -A tasks keys create --user …` makes one.", err=True)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
@said_plainly
def revoke_key(key_id: str, as_json: bool) -> None:
    """End a key, and the sessions begun with it, within seconds and for good. ID is as `list` shows it."""
    from jobs.keys import PREFIX
    from jobs.keys import keys as known

    if key_id.startswith(PREFIX):
        raise Refused("This is a key, not a key's ID. `celery -A tasks keys list` shows the IDs.")
    key = known().revoke(key_id)
    if key is None:
        raise Refused(f"There is no key {key_id}. `celery -A tasks keys list` shows those there are.")
    if as_json:
        print_json(_as_json(key))
    else:
        click.echo(f"Key {key.id} of {key.user_id} is revoked.")


def _as_json(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "userId": key.user_id,
        "role": key.role,
        "name": key.name,
        "createdAt": key.created_at,
        "lastUsedAt": key.last_used_at,
        "revokedAt": key.revoked_at,
    }
