"""`celery -A tasks relay`."""

from __future__ import annotations

import click


@click.command()
@click.option("--once", is_flag=True, help="One round, its report on stdout. Ends with 1 if a part could not be done.")
def relay(once: bool) -> None:
    """Send what was accepted and never sent, what is due and what the queues have lost; end what nobody else ends.

    Works until SIGTERM or Ctrl-C. Any number may run; each worker does the same for its own kinds.
    """
    from cli.relaying import run, run_once  # loaded here, because this module loads at every call of celery

    raise SystemExit(run_once() if once else run())
