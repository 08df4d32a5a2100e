"""`celery -A tasks verify`."""

from __future__ import annotations

import click


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Only scenarios with this in their names; may be given again.")
@click.option("--long", "is_long", is_flag=True, help="With the leases and waits of your settings, not with short ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
@click.option("--inject-loss", is_flag=True, help="Lose one job on purpose, to see that the ledger notices.")
def verify(only: tuple[str, ...], is_long: bool, as_json: bool, inject_loss: bool) -> None:
    """Kill workers, drop messages and cut off services, and see that no job is lost, doubled or paid for twice.

    Everything happens on queues and in a database of its own, with workers of its own, on the SQS and the MongoDB of your
    settings (or of the running `make up`); all of it is removed afterwards. Ends with 0 if the ledger balances, else with 1;
    with 2 where it can't begin.
    """
    from cli.verifying.command import run

    raise SystemExit(run(only, is_long=is_long, as_json=as_json, inject_loss=inject_loss))
