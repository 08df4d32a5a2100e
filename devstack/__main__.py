"""`python -m devstack up` and `python -m devstack demo`; the Makefile calls them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack import demo, stack
from devstack.errors import StackError
from devstack.stopping import Stopped
from queues.clients import QueueError
from settings import SettingsError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=stack.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run everything until Ctrl-C")
    up.add_argument("--home", type=Path, default=stack.HOME, help="where data, logs and addresses are kept (default: .dev)")
    up.add_argument("--procfile", type=Path, default=stack.PROCFILE, help="the processes to run (default: Procfile)")
    up.add_argument("--throwaway", action="store_true", help="start from empty data, and delete it at the end")
    once = commands.add_parser("demo", help="one article, one image, one video, for real")
    once.add_argument("--home", type=Path, default=demo.DEMO_HOME, help="where its log is kept (default: .dev/demo)")
    once.add_argument("--output", type=Path, default=demo.OUTPUT, help="where the files go (default: demo-output)")
    arguments = parser.parse_args()
    try:
        if arguments.command == "demo":
            return demo.run(arguments.home.resolve(), arguments.output.resolve())
        return stack.up(arguments.home.resolve(), arguments.procfile.resolve(), throwaway=arguments.throwaway)
    except (StackError, SettingsError, QueueError) as error:
        print(f"make {arguments.command}: {error}", file=sys.stderr)
        return 1
    except Stopped:
        return 0 if arguments.command == "up" else 130


if __name__ == "__main__":
    sys.exit(main())
