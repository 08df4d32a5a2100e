"""An environment of its own for each peer and for the SQS server, under `.dev/bench/`, from pins with hashes."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from settings import CHECKOUT

HERE = Path(__file__).parent
PLACE = CHECKOUT / ".dev" / "bench"


def python_of(name: str) -> Path:
    """The interpreter that has `requirements/<name>.txt` installed; made where it is not there, or its pins have changed."""
    pins = HERE / "requirements" / f"{name}.txt"
    place = PLACE / name
    python = place / "bin" / "python"
    installed = place / "installed.txt"
    if not installed.is_file() or installed.read_text() != pins.read_text():
        print(f"making an environment for {name} …", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True, clear=True)
        subprocess.run(
            [
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--quiet",
                "--require-hashes",
                "--disable-pip-version-check",
                "-r",
                pins,
            ],
            check=True,
        )
        installed.write_text(pins.read_text())
    return python


def versions_of(name: str, *packages: str) -> str:
    """The pinned versions of these packages."""
    pins = dict(
        line.split(" ")[0].split("==")
        for line in (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
        if "==" in line
    )
    return ", ".join(f"{package} {pins[package]}" for package in packages)
