"""The manual names every setting and every command, and nothing that is not there."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from literal_server.__main__ import make_parser
from literal_server.commands.environment import Environment
from literal_server.exchange.lines import FILE, KINDS

MANUAL = (Path(__file__).resolve().parents[2] / "docs" / "literal-server.md").read_text()


def section(title: str) -> str:
    """Answer the text below a heading."""
    return MANUAL.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the commands of a parser, those with actions word by word."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words)
    for actions in below:
        for name, one in actions.choices.items():
            yield from commands(one, (*words, name))


def test_every_setting_is_described_with_its_default() -> None:
    """The table of settings is the settings class."""
    rows = [line.split("|") for line in section("Settings").splitlines() if line.startswith("| `")]
    told = {cells[1].strip(" `"): cells[2].strip(" `") for cells in rows}
    fields = Environment.model_fields.items()
    known = {str(field.validation_alias or name).upper(): field.default for name, field in fields}

    assert told == {name: "" if value is None else str(value) for name, value in known.items()}
    assert all(value is None for value in known.values() if isinstance(value, SecretStr))


def test_every_command_is_described() -> None:
    """The table of commands is the parser."""
    words = re.findall(r"`([a-z][a-z -]*)", section("Commands").split("|---|---|")[1])
    told = {word.split(" --")[0].strip() for word in words}
    known = set(commands(make_parser()))

    assert known - told == set()
    assert told - known == {"user", "reviewer", "admin"}


def test_every_kind_of_line_is_described() -> None:
    """The kinds of an export's lines stand in the manual."""
    from_manual = set(re.findall(r"`([a-z_]+)`", section("Data out, data in")))

    assert KINDS.keys() | {FILE} <= from_manual
