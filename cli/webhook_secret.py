"""`celery -A tasks webhook-secret`."""

from __future__ import annotations

import click

from cli.errors import said_plainly
from cli.output import json_option, print_json


@click.command("webhook-secret")
@click.option("--user", required=True, help="Whose webhooks are signed with it.")
@json_option
@said_plainly
def webhook_secret(user: str, as_json: bool) -> None:
    """Show the secret that a user's webhooks are signed with; it is made at the first time, and stays."""
    from jobs.webhook_secrets import webhook_secret as secret_of

    secret = secret_of(user)
    if as_json:
        print_json({"user": user, "secret": secret})
        return
    click.echo(secret)
