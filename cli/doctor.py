"""`celery -A tasks doctor`; `python -m cli.doctor` where celery does not know it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
@click.option(
    "--role",
    type=click.Choice(["worker", "producer", "relay"]),
    default="worker",
    show_default=True,
    help="Whose rights at AWS are tried, with the credentials of this shell.",
)
@click.option("--procfile", type=click.Path(path_type=Path), help="The processes that run. Default: this checkout's Procfile.")
def doctor(as_json: bool, role: str, procfile: Path | None) -> None:
    """Look whether everything is as it should be, and say what to do where it is not.

    A line for each check: ✓ well, ! a warning, ✗ wrong, - not checked. Nothing is changed. Ends with 1 if something is wrong.
    """
    import json

    from cli.doctoring.examination import examine
    from cli.doctoring.findings import State
    from cli.doctoring.subject import Subject
    from queues.policy import Role
    from settings import CHECKOUT

    findings = []
    for finding in examine(Subject(Role(role), procfile or CHECKOUT / "Procfile")):
        findings.append(finding)
        if not as_json:
            click.echo("\n".join(finding.lines()))
    is_well = all(finding.state is not State.WRONG for finding in findings)
    if as_json:
        click.echo(json.dumps({"well": is_well, "checks": [finding.as_json() for finding in findings]}, ensure_ascii=False))
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    doctor()
