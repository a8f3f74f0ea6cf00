"""The bench runs and tells; how fast anything is, no test can say on a machine that is shared."""

from pathlib import Path

import pytest

from bench import results
from bench.__main__ import ROOMS, main
from bench.measuring import in_turns, percentile, table


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form of each room answers a section with a heading, the versions and a table; it writes nothing."""
    before = results.RESULTS.read_text()

    assert main([name, "--quick", "--no-peers"]) == 0
    told = capsys.readouterr().out
    assert "\n## " in told
    assert "*Measured on " in told
    assert "\n| --- |" in told
    assert results.RESULTS.read_text() == before


def test_a_section_takes_the_place_of_its_earlier_one(tmp_path: Path) -> None:
    """A section is replaced by its heading and added if it is new; the others stay, and so does their order."""
    file = tmp_path / "RESULTS.md"
    file.write_text("# What\n\n## One\n\nold\n\n### of one\n\n## Two\n\nkept\n")

    results.put("## One\n\nnew\n", file)
    results.put("## Three\n\nadded\n", file)
    assert file.read_text() == "# What\n\n## One\n\nnew\n\n## Two\n\nkept\n\n## Three\n\nadded\n"


def test_variants_take_turns() -> None:
    """No variant is measured twice before each was measured once."""
    order: list[str] = []

    def measure(name: str) -> int:
        order.append(name)
        return len(order)

    assert in_turns({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2) == {"a": [1, 3], "b": [2, 4]}
    assert order == ["a", "b", "a", "b"]


def test_what_is_told_of_many_values() -> None:
    """Half the values do not exceed the percentile of a half; a table has a line under its head."""
    assert percentile([5, 1, 3], 0.5) == 3
    assert percentile([1.0], 0.95) == 1.0
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
