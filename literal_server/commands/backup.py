"""`backup`, `check`, `restore-backup`: the data folder copied while a server works in it, read over, and put back."""

import argparse
import asyncio
import sys
from pathlib import Path

from literal_server import backup
from literal_server.commands.environment import Environment
from literal_server.data_folder import lock_data_folder


def add_backup(parser: argparse.ArgumentParser) -> None:
    """Describe `backup`."""
    parser.epilog = (
        "The folder appears when it is whole and checked. It holds the database, the uploaded files, the large values, "
        "the initial key and the secret of file addresses: keep it as safe as the data folder itself."
    )
    parser.add_argument("target", metavar="FOLDER", type=Path, help="where to write it; a folder that is not there yet")
    parser.set_defaults(run=_back_up)


def add_check(parser: argparse.ArgumentParser) -> None:
    """Describe `check`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help="a backup (default: the data folder)")
    parser.set_defaults(run=_check)


def add_restore_backup(parser: argparse.ArgumentParser) -> None:
    """Describe `restore-backup`."""
    parser.epilog = "The data folder must not hold any data yet: nothing is ever overwritten."
    parser.add_argument("source", metavar="FOLDER", type=Path, help="a folder that `backup` has written")
    parser.set_defaults(run=_restore)


def _back_up(environment: Environment, arguments: argparse.Namespace) -> int:
    return _tell(asyncio.run(backup.back_up(environment, arguments.target)), arguments.target)


def _check(environment: Environment, arguments: argparse.Namespace) -> int:
    folder = arguments.folder or environment.data_dir
    return _tell(asyncio.run(backup.check(environment.model_copy(update={"data_dir": folder}))), folder)


def _restore(environment: Environment, arguments: argparse.Namespace) -> int:
    with lock_data_folder(environment.data_dir):
        checked = asyncio.run(backup.put_back(environment, arguments.source))
    return _tell(checked, environment.data_dir)


def _tell(checked: backup.Checked, folder: Path) -> int:
    for problem in checked.problems:
        print(problem, file=sys.stderr)
    wrong = len(checked.problems)
    state = f"{wrong} problem{'s' if wrong > 1 else ''}" if wrong else "whole"
    print(f"{folder}: {checked.threads:,} threads, {checked.steps:,} steps, {checked.files:,} files; {state}.")
    return 1 if checked.problems else 0
