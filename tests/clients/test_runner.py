"""The run of all clients: nothing that was not tried counts as passed."""

from pathlib import Path

import pytest

from tests import environments
from tests.clients import __main__ as runner


def test_what_the_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Node its client has not passed, the line says why, and the run fails."""
    monkeypatch.setattr("shutil.which", lambda program: None)

    assert runner.main(["node"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "NOT PASSED" in last
    assert "this machine has no node" in last


def test_an_environment_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that cannot be had are a reason, not a crash."""
    monkeypatch.setattr(runner, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(environments, "_run", lambda command: (_ for _ in ()).throw(environments.MissingError("no")))

    result = runner.run(runner.Client("x", runner.python_client("x.py", pins="litellm")))
    assert (result.passed, result.problem) == (False, "no")


def test_skipped_is_not_passed(tmp_path: Path) -> None:
    """A test that was skipped or failed has a reason; a client without tests has not passed either."""
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><skipped message="why"/></testcase>'
        '<testcase name="c"><failure message="wrong">here</failure></testcase></testsuite></testsuites>'
    )
    result = runner.Result("x", runner.read_report(report))
    assert [(test, reason.splitlines()[0]) for test, reason in result.failed] == [
        ("b", "skipped: why"),
        ("c", "failure: wrong"),
    ]
    assert not result.passed
    assert not runner.Result("y").passed
    assert runner.Result("z", [("a", None)]).passed


def test_unknown_names_try_nothing() -> None:
    """A name that is no client's fails."""
    assert runner.main(["no such client"]) == 1
