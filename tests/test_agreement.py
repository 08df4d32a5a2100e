"""Lists that must agree, compared as sets. Each failure says what to do."""

from __future__ import annotations

import re
import shlex
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from honcho.environ import parse_procfile
from pydantic import AliasChoices

from queues.catalogue import KINDS
from settings import CHECKOUT, Settings

COMPOSE = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SYSTEMD = CHECKOUT / "deploy" / "systemd"
SERVERS_OF_COMPOSE = {"mongo", "sqs", "queues", "door", "flower-door"}
"""What compose runs besides the Procfile's processes."""
MODULES_OF_TASKS = {
    "__init__",
    *(
        "ahead",
        "application",
        "attempt",
        "attending",
        "beat",
        "calls",
        "child",
        "child_process",
        "claiming",
        "hold",
        "inside",
        "intake",
    ),
    *("job_task", "kinds", "leaving", "liveness", "on_lambda", "patience", "pool", "requests", "results", "run", "worker"),
}
"""Modules of `tasks/` that are no kind."""
TABLE_ROW = re.compile(r"^\| *`([A-Z][A-Z0-9_]*)` *\|([^|]*)\|", re.MULTILINE)


def procfile() -> dict[str, str]:
    return dict(parse_procfile((CHECKOUT / "Procfile").read_text()).processes)


def readme() -> str:
    return (CHECKOUT / "README.md").read_text()


def modules(directory: Path, pattern: str = "*.py") -> set[str]:
    return {path.stem for path in directory.glob(pattern)}


def assert_same(left: set[str], right: set[str], *, missing: str, surplus: str) -> None:
    """`left` is what must be, `right` what is; the messages say what to do about a difference."""
    faults = [f"{missing}: {name}" for name in sorted(left - right)]
    faults += [f"{surplus}: {name}" for name in sorted(right - left)]
    assert not faults, "\n" + "\n".join(faults)


def test_every_kind_has_its_process_in_the_procfile() -> None:
    assert_same(
        {*KINDS, "web", "relay", "flower"},
        {*procfile()},
        missing="Add a line to the Procfile (`<kind>: celery -A tasks worker -Q <kind>`) for the kind",
        surplus="The catalogue has no such kind; take out of the Procfile",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_process_consumes_the_queue_it_is_named_after(kind: str) -> None:
    assert procfile().get(kind) == f"celery -A tasks worker -Q {kind}"


def systemd_unit(path: Path) -> dict[str, str]:
    """The settings of a systemd unit, or of a drop-in, by their names in lower case."""
    parser = ConfigParser(interpolation=None)
    parser.read(path)
    return {name: value for section in parser.sections() for name, value in parser[section].items()}


def test_systemd_has_a_unit_for_each_process_of_the_procfile_with_the_same_command() -> None:
    units = {path.stem.removeprefix("pressroom-"): systemd_unit(path) for path in SYSTEMD.glob("*.service")}
    worker = units.pop("worker@")["execstart"]
    commands = {name: unit["execstart"] for name, unit in units.items()} | {k: worker.replace("%i", k) for k in KINDS}
    assert_same(
        {f"{name}: {command}" for name, command in procfile().items()},
        {f"{name}: {command.removeprefix('/opt/pressroom/.venv/bin/')}" for name, command in commands.items()},
        missing="Give deploy/systemd/ a unit pressroom-<name>.service with this name and command",
        surplus="The Procfile has no such process; take out of deploy/systemd/",
    )
    enabled = re.search(r"pressroom-worker@\{(.*)\}", (SYSTEMD / "README.md").read_text())
    assert enabled, "deploy/systemd/README.md should say how to enable a worker for each kind"
    assert {*enabled[1].split(",")} == {*KINDS}, "deploy/systemd/README.md enables other workers than there are kinds"


def test_systemd_gives_a_process_more_time_to_leave_than_it_takes() -> None:
    given = float(systemd_unit(SYSTEMD / "pressroom-.service.d" / "common.conf")["timeoutstopsec"])
    grace = Settings.model_fields["shutdown_grace_seconds"].default
    assert given > grace + 30, "gunicorn.conf.py takes so long with BROKER=none: raise TimeoutStopSec in deploy/systemd/"


def test_compose_runs_the_processes_of_the_procfile_by_the_same_commands() -> None:
    ours = {f"{name}: {service['command']}" for name, service in COMPOSE["services"].items() if name not in SERVERS_OF_COMPOSE}
    assert_same(
        {f"{name}: {command}" for name, command in procfile().items()},
        ours,
        missing="Give docker-compose.yml a service with this name and command",
        surplus="The Procfile has no such process; take out of docker-compose.yml",
    )


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_what_a_compose_service_refers_to_is_in_the_file(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert ("image" in service) or ("build" in service), f"{name} has nothing to run"
    assert {*service.get("depends_on", {})} <= {*COMPOSE["services"]}
    assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= {*COMPOSE["volumes"]}
    network = service.get("network_mode", "").removeprefix("service:")
    assert not network or network in COMPOSE["services"]
    for other, condition in service.get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert "healthcheck" in COMPOSE["services"][other], f"{name} waits for {other}, which has no healthcheck"
    if "build" not in service:
        tag = service["image"].partition(":")[2]
        assert tag not in {"", "latest"}, f"{name}: pin the image's tag"


def test_compose_sets_only_variables_that_somebody_reads() -> None:
    read_by_libraries = {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for name, service in COMPOSE["services"].items():
        unknown = {*service.get("environment", {})} - read_by_libraries - environment_names()
        assert not unknown, f"{name} sets what nobody reads: {sorted(unknown)}"


def test_the_image_starts_the_web_process_by_default() -> None:
    command = re.search(r"^CMD (\[.*\])$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert command, "The Dockerfile needs its CMD in the form of a list"
    assert yaml.safe_load(command.group(1)) == shlex.split(procfile()["web"])


def test_every_kind_is_a_module_of_tasks() -> None:
    assert_same(
        {*KINDS},
        modules(CHECKOUT / "tasks") - MODULES_OF_TASKS,
        missing="Write tasks/<kind>.py for the kind",
        surplus="Neither a kind of the catalogue nor named in MODULES_OF_TASKS: the module of tasks/",
    )


def test_every_kind_has_its_test() -> None:
    tested = {name.removeprefix("test_") for name in modules(CHECKOUT / "tests" / "tasks", "test_*.py")}
    untested = {*KINDS} - tested
    assert not untested, f"Write tests/tasks/test_<kind>.py for: {sorted(untested)}"


def environment_names() -> set[str]:
    """The main name of every setting, as the environment spells it."""
    return {_environment_name(name) for name in Settings.model_fields}


def _environment_name(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else field.upper()


def settings_table() -> dict[str, str]:
    """The default by the variable's name, of the README's section "Settings"."""
    section = re.search(r"^#+ Settings\n(.*?)(?=^#+ |\Z)", readme(), re.MULTILINE | re.DOTALL)
    assert section, 'README.md needs a section "Settings" with a table: | `NAME` | default | what for |'
    return {name: default.strip().strip("`") for name, default in TABLE_ROW.findall(section.group(1))}


def test_the_readme_has_every_setting_and_no_other() -> None:
    not_ours = {
        name for name in settings_table() if name.startswith("AWS_")
    } - environment_names()  # boto3's own may stand there too
    assert_same(
        environment_names(),
        {*settings_table()} - not_ours,
        missing='Add a row to the table of README.md\'s section "Settings"',
        surplus='settings.py knows no such variable; take out of README.md\'s section "Settings"',
    )


def test_the_readme_tells_the_settings_defaults() -> None:
    said = settings_table()
    wrong = []
    for field, description in Settings.model_fields.items():
        name, default = _environment_name(field), description.default
        if name in said and said[name] not in _spellings(default):
            wrong.append(f"{name}: README.md says {said[name]!r}, settings.py {default!r}")
    assert not wrong, "\n".join(wrong)


def _spellings(default: object) -> set[str]:
    if default in {None, ""}:
        return {"", "–", "unset"}
    return {str(default), f"{default:,}"} if isinstance(default, int) else {str(default)}


def test_every_make_target_in_the_readme_exists() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\s)make ([a-z]+)", " ".join(code_of(readme()))))
    assert named, "README.md should name make targets in its code"
    assert named <= targets, f"README.md names targets that the Makefile has not: {sorted(named - targets)}"


def test_every_file_a_command_of_the_readme_names_exists() -> None:
    commands = "\n".join(code_of(readme()))
    modules_run = set(re.findall(r"python3? -m ([a-z_.]+)", commands)) - {"venv", "pip"}
    gone = [
        name for name in modules_run if not any((CHECKOUT / name.replace(".", "/")).parent.glob(f"{name.rpartition('.')[2]}*"))
    ]
    assert not gone, f"README.md runs modules that are not there: {gone}"
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", readme())
    assert not [link for link in links if not (CHECKOUT / link).exists()], "README.md links to files that are not there"


def requirement_commands() -> list[str]:
    return sorted(set(re.findall(r"`pytest ([^`]+)`", (CHECKOUT / "docs" / "requirements.md").read_text())))


@pytest.mark.parametrize("command", requirement_commands())
def test_what_the_map_of_requirements_says_to_run_runs_some_test(command: str) -> None:
    paths, _, words = command.partition(" -k ")
    files = [file for path in paths.split() for file in _test_files(CHECKOUT / path)]
    assert files, f"docs/requirements.md names tests that are not there: {paths}"
    names = re.findall(r"^def (test_\w+)", "\n".join(file.read_text() for file in files), re.MULTILINE)
    for word in words.strip('"').split(" or "):
        assert any(word in name for name in names), f"docs/requirements.md: no test of {paths} has {word!r} in its name"


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("test_*.py"))


def code_of(markdown: str) -> list[str]:
    """The code in a text: blocks and spans."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))
    return [*blocks, *spans]
