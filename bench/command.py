"""`python -m bench`: every figure, or those that `--only` names; a table on the screen and in `bench/RESULTS.md`."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from bench.asked import Asked
from bench.environments import HERE
from bench.figures import drain, restarts, waiting, web
from bench.ground import Ground
from bench.systems import Peer, Pressroom
from bench.table import Row, as_markdown

RESULTS = HERE / "RESULTS.md"
FIGURES: dict[str, Callable[[Ground, Asked], Iterator[Row | str]]] = {
    "drain": drain.measure_drain,
    "requests": drain.measure_requests,
    "pickup": waiting.measure_pickup,
    "slots": waiting.measure_slots,
    "kill": restarts.measure_kill,
    "stop": restarts.measure_stop,
    "lease": restarts.measure_lease,
    "post": web.measure_post,
    "batch": web.measure_batch,
    "web": web.measure_web,
    "pages": web.measure_pages,
    "idle": waiting.measure_idle,
    "beat": waiting.measure_beat,
    "growth": drain.measure_growth,
    "monitor": drain.measure_monitor,
}


def main() -> int:
    arguments = _arguments()
    asked = Asked(rounds=arguments.rounds, peers=arguments.peers, against=arguments.against)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows: list[Row] = []
    texts: list[str] = []
    with Ground() as ground:
        versions = ground.versions() + [system.versions() for system in [Pressroom(), *_distinct_peers()]]
        for name in arguments.only:
            began = time.monotonic()
            print(f"{name} …", flush=True)
            for found in FIGURES[name](ground, asked):
                if isinstance(found, Row):
                    rows.append(found)
                    print(f"  {found.verdict:6}  {found.figure}: {found.measured}  ({found.beside or '–'}; {found.target})")
                else:
                    texts.append(found)
            print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    report = _report(rows, texts, versions)
    print(report)
    if arguments.only == [*FIGURES]:
        RESULTS.write_text(report)
    return 0 if all(row.is_met for row in rows) else 1


def _distinct_peers() -> list[Peer]:
    return [*{peer.environment: peer for peer in drain.PEERS}.values()]


def _report(rows: list[Row], texts: list[str], versions: list[str]) -> str:
    missed = sum(not row.is_met for row in rows)
    verdict = f"{len(rows) - missed} of {len(rows)} figures met." if missed else f"All {len(rows)} figures met."
    said = "\n".join(f"- {each}" for each in versions)
    parts = ["# Measured", f"By `make bench` on {time.strftime('%Y-%m-%d')}. {verdict}", as_markdown(rows), *texts, said]
    return "\n\n".join(parts) + "\n"


def _arguments() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        if unknown := {*text.split(",")} - {*FIGURES}:
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(FIGURES)}")
        return text.split(",")

    def peers(text: str) -> tuple[str, ...]:
        there_are = [peer.name for peer in drain.PEERS]
        if unknown := {*text.split(",")} - {*there_are}:
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(there_are)}")
        return tuple(text.split(","))

    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=names, default=[*FIGURES], help=f"some of {', '.join(FIGURES)}, with commas between")
    parser.add_argument("--rounds", type=int, default=3, help="how often each system has its turn (3)")
    parser.add_argument("--peers", type=peers, default=(), help="drain beside these peers only, with commas between")
    parser.add_argument("--against", type=Path, help="another checkout of this project, drained as a peer")
    return parser.parse_args()
