"""`celery -A tasks policy`."""

from __future__ import annotations

import click

from cli.errors import Refused, said_plainly
from cli.kinds import KindName
from cli.output import print_json


@click.command()
@click.argument("role", type=click.Choice(["producer", "worker", "operator", "relay"]))
@click.option(
    "--kind",
    "kinds",
    type=KindName(),
    multiple=True,
    help="Only for this kind's queues; may be given again. Default: all kinds.",
)
@click.option("--account", help="The number of the AWS account; '*' for any. Default: that of this shell's credentials.")
@click.option("--region", help="Default: AWS_REGION.")
@said_plainly
def policy(role: str, kinds: tuple[str, ...], account: str | None, region: str | None) -> None:
    """Print the IAM policy that a role needs, and nothing else.

    producer: the web process. worker: Celery's workers. relay: a relay in a process of its own. operator: whoever uses
    `queues`, `dead-letters` and `alarms`.
    """
    from queues.clients import QueueUnavailable
    from queues.policy import Role, place_of_settings
    from queues.policy import policy as policy_of

    try:
        document = policy_of(Role(role), place_of_settings(account, region), kinds)
    except QueueUnavailable as error:  # it is STS that does not answer
        raise Refused(str(error)) from None
    print_json(document)
