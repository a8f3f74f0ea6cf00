"""`python -m bench [NAME ...]`: measure, and write what came of it into `bench/RESULTS.md`.

Each room is a module with `run(options)`, which answers a section of Markdown, and `PACKAGES`, the names of those whose
versions matter to its figures: ours as they are installed, peers' as they are pinned.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Protocol

from bench import chat, growth, ingestion, long_thread, loop, pages, results, start_and_size
from bench.options import Options
from tests.app_process import ROOT
from tests.environments import MissingError


class Room(Protocol):
    """A module that measures one thing."""

    PACKAGES: tuple[str, ...]

    def run(self, options: Options) -> str:
        """Measure, and answer a section: `## heading`, what was done in prose, a table with ratios."""


ROOMS: dict[str, Room] = {
    "chat": chat,
    "loop": loop,
    "ingestion": ingestion,
    "growth": growth,
    "start_and_size": start_and_size,
    "long_thread": long_thread,
    "pages": pages,
}


def main(arguments: Sequence[str]) -> int:
    """Run the rooms that are named, all without names; answers 1 if one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and write bench/RESULTS.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ROOMS)}; all without a name")
    parser.add_argument(
        "--no-peers", dest="peers", action="store_false", help="install and measure no others' programs"
    )
    parser.add_argument("--quick", action="store_true", help="prove within seconds that it runs; write nothing")
    parser.add_argument("--growth", type=int, default=Options.growth, metavar="STEPS", help="how far the record grows")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(ROOMS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(ROOMS)}")

    options = Options(quick=asked.quick, peers=asked.peers, growth=asked.growth)
    done = [_measured(name, options) for name in asked.names or ROOMS]
    return 0 if all(done) else 1


def _measured(name: str, options: Options) -> bool:
    print(f"{name} ...", flush=True)
    room = ROOMS[name]
    try:
        section = results.stamped(room.run(options), room.PACKAGES)
    except MissingError as missing:
        print(f"{name} was not measured: {missing}", file=sys.stderr)
        return False
    except Exception:  # noqa: BLE001 - the rooms after this one are measured all the same
        print(f"{name} failed.", file=sys.stderr)
        traceback.print_exc()
        return False
    print(f"\n{section}", flush=True)
    if not options.quick:
        results.put(section)
    return True


if __name__ == "__main__":
    os.chdir(ROOT)
    raise SystemExit(main(sys.argv[1:]))
