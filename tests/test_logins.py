"""The password file: who is in it, what it looks like on disk, and the command that changes it beside the app."""

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

import logins as logins_module
from logins import HASHER, Login, LoginError, Logins, PasswordFile, checked_name, new_login
from logins.__main__ import main

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command as from a pipe that gives a password."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))

    def command(*arguments: str, password: str = PASSWORD) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        return main(arguments)

    return command


@pytest.fixture
def file(tmp_path: Path) -> PasswordFile:
    return PasswordFile(tmp_path / "data")


async def test_somebody_is_added_and_let_in(run: Run, file: PasswordFile) -> None:
    """The name and the password of who was added open, in any case of letters of the name; nothing else does."""
    assert run("add", "Ada", "--role", "reviewer") == 0
    logins = Logins(file, {})

    login = await logins.check(logins.name_of(" ADA "), PASSWORD)
    assert login
    assert (login.role, login.sees_all) == ("reviewer", True)
    assert await logins.check("ada", PASSWORD + "x") is None
    assert await logins.check("ada", "") is None
    assert await logins.check("eve", PASSWORD) is None
    assert await logins.check("ada", "\ud800" * 20) is None


def test_the_file_is_for_its_owner_alone_and_holds_no_password(run: Run, file: PasswordFile) -> None:
    """Mode 0600 in a folder of mode 0700, whatever the umask says, and only an argon2id hash inside."""
    before = os.umask(0)
    try:
        assert run("add", "ada") == 0
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert PASSWORD not in file.path.read_text()
    assert file.read()["ada"].hash.startswith("$argon2id$")


def test_changes_are_seen_by_who_has_read_the_file_before(run: Run, file: PasswordFile) -> None:
    """The running app knows of each change at its next look: a new password, a new role, a name that is gone."""
    run("add", "ada")
    logins = Logins(file, {})
    first = file.read()["ada"]
    assert logins.session("ada", first.stamp) == first

    run("password", "ada", password="another good password")
    assert logins.session("ada", first.stamp) is None
    second = file.read()["ada"]
    assert run("role", "ada", "admin") == 0
    changed = logins.session("ada", second.stamp)
    assert changed
    assert changed.sees_all
    run("remove", "ada")
    assert logins.session("ada", second.stamp) is None
    assert file.exists()


def test_a_name_that_comes_back_is_a_new_login(run: Run, file: PasswordFile) -> None:
    """Sessions from before a removal do not come back to life with the name."""
    run("add", "ada")
    old = file.read()["ada"].stamp
    run("remove", "ada")
    run("add", "ada")

    assert Logins(file, {}).session("ada", old) is None


@pytest.mark.parametrize(
    ("arguments", "password", "complaint"),
    [
        (("add", "a b"), PASSWORD, "cannot be a name"),
        (("add", "../etc"), PASSWORD, "cannot be a name"),
        (("add", "x" * 65), PASSWORD, "cannot be a name"),
        (("add", "ada\n"), "short", "10 to 1,000 characters"),
        (("add", "ada"), "x" * 1001, "10 to 1,000 characters"),
        (("add", "local"), PASSWORD, "browser of this machine"),
        (("add", "API"), PASSWORD, "PROCESS_USER"),
        (("add", "bob"), PASSWORD, "is there already"),
        (("password", "ada"), PASSWORD, "There is no ada"),
        (("remove", "ada"), PASSWORD, "There is no ada"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run,
    file: PasswordFile,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    password: str,
    complaint: str,
) -> None:
    """A bad name, a weak password, a name that is taken or missing: one line, exit code 2, and nothing changes."""
    run("add", "bob")
    before = file.path.read_bytes()
    capsys.readouterr()

    assert run(*arguments, password=password) == 2

    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert file.path.read_bytes() == before


def test_the_list_names_people_and_roles(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` says who is there, and no hash."""
    run("add", "bob")
    run("add", "ada", "--role", "admin")
    capsys.readouterr()

    run("list")

    assert capsys.readouterr().out == "ada\tadmin\nbob\tuser\n"


async def test_a_broken_file_lets_nobody_in(file: PasswordFile, run: Run) -> None:
    """What cannot be read opens nothing, and the command says so instead of writing over it."""
    run("add", "ada")
    stamp = file.read()["ada"].stamp
    file.path.write_text("{")
    logins = Logins(file, {})

    assert logins.session("ada", stamp) is None
    assert await logins.check("ada", PASSWORD) is None
    assert run("add", "bob") == 2
    assert file.path.read_text() == "{"


async def test_a_hash_of_weaker_parameters_is_made_anew(file: PasswordFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next right password the hash gets today's parameters; sessions go on."""
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    old = Login(hash=weak.hash(PASSWORD), role="user", stamp="s")
    with file.change() as people:
        people["ada"] = old
    logins = Logins(file, {})

    assert await logins.check("ada", "wrong password") is None
    assert file.read()["ada"] == old
    assert await logins.check("ada", PASSWORD)

    assert not HASHER.check_needs_rehash(file.read()["ada"].hash)
    assert logins.session("ada", "s")
    assert await logins.check("ada", PASSWORD)


async def test_an_unknown_name_costs_a_hash_too(file: PasswordFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash is computed for every attempt, so that the time tells nothing about who is in the file."""
    with file.change() as people:
        people["ada"] = new_login(PASSWORD, "user")
    logins = Logins(file, {"root": new_login(PASSWORD, "admin")})
    counted: list[str] = []
    verify = logins_module._verify

    def counting(expected: str, password: str) -> bool:
        counted.append(expected.rsplit("$", 2)[0])
        return verify(expected, password)

    monkeypatch.setattr(logins_module, "_verify", counting)
    for name in ("ada", "root", "eve"):
        assert await logins.check(name, "wrong password") is None

    assert len(counted) == 3
    assert len(set(counted)) == 1  # the same parameters for all


def test_a_name_is_kept_in_lower_case() -> None:
    """Names that differ in case only are one, and an address can be a name."""
    assert checked_name(" Ada.L+x@Example.org ") == "ada.l+x@example.org"
    with pytest.raises(LoginError):
        checked_name("ädä")
