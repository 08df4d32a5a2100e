"""Every call of celery loads every command's module, a worker's too."""

from __future__ import annotations

import subprocess
import sys
import tomllib

from settings import CHECKOUT

HEAVY = {"boto3", "pymongo", "jobs", "queues", "providers", "rich"}
FLOWERS_OWN = "cli.flower"
"""It guards Flower's command, which celery has loaded anyway."""


def test_the_commands_modules_load_next_to_nothing() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    modules = {place.partition(":")[0] for place in project["entry-points"]["celery.commands"].values()} - {FLOWERS_OWN}
    program = f"import sys, {', '.join(sorted(modules))}; print({HEAVY} & {{*sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
