"""`python -m literal_server`: Verbatim's Literal server, its keys and its data."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from literal_server.commands import access, backup, deleted, demo, exchange, people, serve
from literal_server.commands.environment import Environment
from literal_server.errors import ServerError
from literal_server.settings import explain

Add = Callable[[argparse.ArgumentParser], None]

_EPILOG = """\
Without a command it serves. Where it listens, where the data lies and what is allowed are settings: environment
variables or lines of a file .env. docs/literal-server.md describes them all.
Every command but serve, migrate and restore-backup may be used while the server runs.
"""

# In the order of --help: name, what it does, who describes it.
COMMANDS: Sequence[tuple[str, str, Add]] = (
    ("serve", "serve clients and pages on HOST and PORT", serve.add_serve),
    ("keys", "make, list and revoke API keys", access.add_keys),
    ("projects", "make and list projects", access.add_projects),
    ("users", "say who may read the pages", people.add_users),
    ("export", "write the data of a project to a file or to the output", exchange.add_export),
    ("import", "read an export, or threads saved through a Literal SDK", exchange.add_import),
    ("demo-data", "fill a project with threads to look around in", demo.add_demo_data),
    ("restore", "list what was deleted, and bring it back", deleted.add_restore),
    ("purge", "remove what was deleted for good, without waiting", deleted.add_purge),
    ("backup", "copy all data into a new folder, while the server runs", backup.add_backup),
    ("check", "read over the data folder, or a backup, and say what is wrong with it", backup.add_check),
    ("restore-backup", "put a backup into a data folder that is still empty", backup.add_restore_backup),
    ("migrate", "bring the database to the newest form; serve does so by itself", serve.add_migrate),
)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line; what is parsed has `run`: a function of the settings and the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m literal_server",
        description="Verbatim's Literal server: it records what Literal SDKs send, and shows it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=serve.serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, does, add in COMMANDS:
        add(commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}."))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; answers the exit code of the process: 0 done, 1 done in part, 2 not done."""
    parsed = make_parser().parse_args(arguments)
    try:
        code: int = parsed.run(Environment(), parsed)
    except ValidationError as error:
        print(f"A setting is wrong. {explain(error)}", file=sys.stderr)
    except (ServerError, ValueError) as error:
        print(error, file=sys.stderr)
    except DBAPIError as error:
        print(f"The database does not answer: {error.orig}.", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or error}.", file=sys.stderr)
    except (KeyboardInterrupt, EOFError):
        print("Stopped.", file=sys.stderr)
        return 130
    else:
        return code
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
