"""`python -m recording dead-letters`: look at what the recording server has refused, send it again or drop it.

It may be run beside the app, which looks for what is to be sent again every few seconds.
"""

import argparse
import json
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from recording.outbox_store import FILE_NAME, connect
from wiring import load_settings

COLUMNS = "number, lane, kind, key, body, put_at, reason, at, retry"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code of the process."""
    command = _parser().parse_args(arguments)
    try:
        file = load_settings().data_dir / FILE_NAME
        if not file.exists():
            print(f"There is no {file}: nothing was recorded with this DATA_DIR yet.", file=sys.stderr)
            return 2
        db = connect(file)
        try:
            return _run(db, command)
        finally:
            db.close()
    except sqlite3.Error as error:
        print(f"The dead letters cannot be read: {error}.", file=sys.stderr)
    except ValidationError:
        print("A setting is wrong; starting the app says which.", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recording", description=__doc__)
    letters = parser.add_subparsers(dest="what", required=True).add_parser(
        "dead-letters", help="what the recording server has refused"
    )
    commands = letters.add_subparsers(dest="command")
    commands.add_parser("list", help="list them, a line each (this is also what no command does)")
    show = commands.add_parser("show", help="print one as JSON, with all that it was to say")
    show.add_argument("number", type=int)
    for name, what in (("retry", "send again"), ("drop", "throw away for good")):
        one = commands.add_parser(name, help=f"{what}: those with these numbers, or all of them")
        which = one.add_mutually_exclusive_group(required=True)
        which.add_argument("numbers", type=int, nargs="*", default=[])
        which.add_argument("--all", action="store_true")
    return parser


def _run(db: sqlite3.Connection, command: argparse.Namespace) -> int:
    numbers = [command.number] if command.command == "show" else getattr(command, "numbers", [])
    where, values = ("number IN (SELECT value FROM json_each(?))", [json.dumps(numbers)]) if numbers else ("true", [])
    query = f"SELECT {COLUMNS} FROM dead_letters WHERE {where} ORDER BY number"  # noqa: S608 - texts of ours
    letters = [dict(zip(COLUMNS.split(", "), row, strict=True)) for row in db.execute(query, values)]
    if missing := sorted(set(numbers) - {letter["number"] for letter in letters}):
        print(f"There is no dead letter {', '.join(map(str, missing))}.", file=sys.stderr)
        return 1
    match command.command:
        case "show":
            print(json.dumps(_in_full(letters[0]), indent=2, ensure_ascii=False))
        case "retry":
            db.execute(f"UPDATE dead_letters SET retry = 1 WHERE {where}", values)  # noqa: S608 - texts of ours
            print(f"{len(letters)} will be sent again: by the app that runs, within seconds, or when it next starts.")
        case "drop":
            db.execute(f"DELETE FROM dead_letters WHERE {where}", values)  # noqa: S608 - texts of ours
            print(f"{len(letters)} dropped.")
        case _:
            for letter in letters:
                print(_line(letter))
            print(f"{len(letters)} dead letters." if letters else "No dead letters: the server took all it was sent.")
    return 0


def _line(letter: dict[str, Any]) -> str:
    kind = json.loads(letter["body"]).get("type") or letter["kind"]
    again = "  (to be sent again)" if letter["retry"] else ""
    at = _moment(letter["at"])
    return f"{letter['number']}  {at}  {kind} {letter['key']} of thread {letter['lane']}: {letter['reason']}{again}"


def _in_full(letter: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": letter["number"],
        "thread": letter["lane"],
        "kind": letter["kind"],
        "id": letter["key"],
        "reason": letter["reason"],
        "put_at": _moment(letter["put_at"]),
        "set_aside_at": _moment(letter["at"]),
        "to_be_sent_again": bool(letter["retry"]),
        "body": json.loads(letter["body"]),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    raise SystemExit(main())
