"""`python -m logins`: give people names, passwords and roles for signing in. The app may run meanwhile."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError

from logins import LoginError, PasswordFile, Role, checked_name, new_login
from wiring import LOCAL_USER, Settings, load_settings

NEXT_START = "Passwords are asked for from the next start of the app on."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code of the process."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        parsed.run(PasswordFile(settings.data_dir), settings, parsed)
    except LoginError as error:
        print(error, file=sys.stderr)
    except ValidationError:
        print("A setting is wrong; starting the app says which.", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or error}.", file=sys.stderr)
    except (KeyboardInterrupt, EOFError):
        print("Nothing was changed.", file=sys.stderr)
    else:
        return 0
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m logins", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, does, run in (
        ("list", "say who may sign in", _list),
        ("add", "let somebody in; the password is asked for, or read as a line from a pipe", _add),
        ("password", "give a new password, which ends the sessions under the old one", _password),
        ("role", "change what somebody may see, at once", _role),
        ("remove", "let somebody in no more, at once", _remove),
    ):
        one = commands.add_parser(command, help=does, description=f"{does[0].upper()}{does[1:]}.")
        one.set_defaults(run=run)
        if run is not _list:
            one.add_argument("name")
        if run is _add:
            one.add_argument("--role", choices=get_args(Role), default="user", help=_ROLES)
        if run is _role:
            one.add_argument("role", choices=get_args(Role), help=_ROLES)
    return parser


_ROLES = "user: the own conversations; reviewer and admin: the review pages of everybody's too (default: user)"


def _list(file: PasswordFile, _settings: Settings, _arguments: argparse.Namespace) -> None:
    logins = file.read()
    for name, login in logins.items():
        print(f"{name}\t{login.role}")
    if not logins:
        print("Nobody is in the password file." if file.exists() else "There is no password file yet.")


def _add(file: PasswordFile, settings: Settings, arguments: argparse.Namespace) -> None:
    name = checked_name(arguments.name)
    _refuse_taken(name, settings)
    if name in file.read():
        raise LoginError(f"{name} is there already. `password` and `role` change what is known of somebody.")
    login = new_login(_ask_password(), arguments.role)
    first = not file.exists()
    with file.change() as logins:
        if name in logins:
            raise LoginError(f"{name} is there already.")
        logins[name] = login
    print(f"{name} may sign in as {login.role}. {NEXT_START if first else ''}".strip())


def _refuse_taken(name: str, settings: Settings) -> None:
    """Refuse a name that other threads are recorded under: who has it would see them as the own."""
    taken = {LOCAL_USER: "the browser of this machine", settings.process_user.lower(): "PROCESS_USER"}
    if settings.chat_password:
        taken[settings.chat_user.lower()] = "CHAT_USER"
    if name in taken:
        raise LoginError(f"{name} is the name of {taken[name]}. Take another one.")


def _password(file: PasswordFile, _settings: Settings, arguments: argparse.Namespace) -> None:
    name = _known(file, arguments.name)
    login = new_login(_ask_password(), "user")
    with file.change() as logins:
        logins[name] = login.model_copy(update={"role": logins[name].role})
    print(f"{name} has a new password; who was signed in under the old one is not any more.")


def _role(file: PasswordFile, _settings: Settings, arguments: argparse.Namespace) -> None:
    name = _known(file, arguments.name)
    with file.change() as logins:
        logins[name] = logins[name].model_copy(update={"role": arguments.role})
    print(f"{name} is {arguments.role} now.")


def _remove(file: PasswordFile, settings: Settings, arguments: argparse.Namespace) -> None:
    name = _known(file, arguments.name)
    with file.change() as logins:
        del logins[name]
        last = not logins
    print(f"{name} is let in no more. The recorded conversations stay.")
    if last and not settings.chat_password:
        print(f"Nobody can sign in now. Add somebody, or delete {file.path} to go without passwords.")


def _known(file: PasswordFile, typed: str) -> str:
    name = checked_name(typed)
    if name not in file.read():
        raise LoginError(f"There is no {name} in {file.path}.")
    return name


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise LoginError("The two are not the same. Nothing was changed.")
    return password


if __name__ == "__main__":
    raise SystemExit(main())
