"""Checks of this checkout and its environment, which ask nobody."""

from __future__ import annotations

import re
import resource
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points

from cli.doctoring.findings import Fault
from cli.doctoring.subject import Subject
from queues.catalogue import KINDS
from queues.clients import CONNECTIONS
from settings import CHECKOUT, SettingsError, settings

GROUP = "celery.commands"
HANDLES_A_SLOT = 4
"""A connection to MongoDB, one to the provider, a file, a child's pipe."""
HANDLES_BESIDES = 64
LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(.+)$", re.MULTILINE)


def settings_fit(subject: Subject) -> Iterator[Fault]:
    """The environment's values can be used, alone and together."""
    try:
        settings()
    except SettingsError as error:
        yield from (Fault(f"{line}.", "Correct it in the environment.") for line in str(error).splitlines())


def entry_points_installed(subject: Subject) -> Iterator[Fault]:
    """Celery finds the commands of this checkout by what was installed, not by what lies here."""
    described = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    installed = {point.name: point.value for point in entry_points(group=GROUP)}
    if missing := sorted(name for name, value in described.items() if installed.get(name) != value):
        yield Fault(
            f"celery does not know {', '.join(missing)}: this checkout's commands are not installed.",
            "Install it: pip install --no-deps --no-build-isolation -e .",
        )


def procfile_follows_catalogue(subject: Subject) -> Iterator[Fault]:
    """Each kind has a process that consumes it, and no process consumes what there is not."""
    if not subject.procfile.is_file():
        yield Fault(f"there is no {subject.procfile}.", "Name yours with --procfile.", is_warning=True)
        return
    consumed = {kind: name for name, kinds in _consumers(subject).items() for kind in kinds}
    for kind in KINDS:
        if kind not in consumed:
            yield Fault(f"no process consumes {kind}.", f"Add the line `{kind}: celery -A tasks worker -Q {kind}`.")
    for kind, name in consumed.items():
        if kind not in KINDS:
            yield Fault(
                f"the process {name} consumes {kind}, which is no kind of the catalogue.",
                f"Take {kind} out of its -Q; there are {', '.join(KINDS)}.",
            )


def handles_suffice(subject: Subject) -> Iterator[Fault]:
    """Each queue that a process polls holds a connection open, and so a file handle."""
    if not subject.procfile.is_file():
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name, kinds in _consumers(subject).items():
        known = [KINDS[kind] for kind in kinds if kind in KINDS]
        polls = sum(len(kind.lanes) for kind in known)
        if polls > CONNECTIONS:
            yield Fault(
                f"the process {name} polls {polls} queues over {CONNECTIONS} connections.",
                "Give its kinds to several processes (-Q).",
            )
        needed = HANDLES_BESIDES + polls + HANDLES_A_SLOT * sum(kind.slots for kind in known)
        if allowed != resource.RLIM_INFINITY and needed > allowed:
            yield Fault(
                f"the process {name} needs about {needed} file handles for its {polls} queues; it may have {allowed}.",
                f"Allow more (ulimit -n {max(1024, 2 * needed)}), or give its kinds to several processes (-Q).",
            )


def _consumers(subject: Subject) -> dict[str, list[str]]:
    """The kinds that each worker process of the Procfile consumes."""
    found = {}
    for name, command in LINE.findall(subject.procfile.read_text()):
        words = shlex.split(command)
        if "celery" in words and "worker" in words:
            found[name] = _queues_of(words)
    return found


def _queues_of(words: list[str]) -> list[str]:
    named = [*KINDS]  # a worker without -Q consumes all
    for place, word in enumerate(words):
        option, has_value, value = word.partition("=")
        if option in {"-Q", "--queues"}:
            named = (value if has_value else words[place + 1]).split(",")
        elif word.startswith("-Q") and word != "-Q":
            named = word[2:].split(",")
    return [*dict.fromkeys(named)]
