"""Saving notes: where they go, under what names, and that none is ever overwritten."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.notes import MAX_TEXT_CHARACTERS, MAX_TITLE_CHARACTERS, file_name, note_tool


def test_a_note_is_a_markdown_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    """Title and text stand in a file named after the title, in a folder made for it."""
    told = note_tool(tmp_path / "notes")("Groceries: für Sonntag", "- milk\n- bread\n")

    file = tmp_path / "notes" / "note-groceries-fur-sonntag.md"
    assert told == f"Saved as {file.name}."
    assert file.read_text() == "# Groceries: für Sonntag\n\n- milk\n- bread\n"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_note_is_never_overwritten(tmp_path: Path) -> None:
    """A second note of the same name is refused, in words the model can act on."""
    save_note = note_tool(tmp_path)
    save_note("A", "first")

    with pytest.raises(ValueError, match="choose another title"):
        save_note("a!", "second")
    assert (tmp_path / "note-a.md").read_text() == "# A\n\nfirst\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link that stands where the note would go leads nowhere, not even a broken one."""
    target = tmp_path / "target"
    (tmp_path / "note-a.md").symlink_to(target)

    with pytest.raises(ValueError, match="already"):
        note_tool(tmp_path)("A", "text")
    assert not target.exists()


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("", "x"),
        ("...", "x"),
        ("\u65e5\u8a18", "x"),
        ("a" * (MAX_TITLE_CHARACTERS + 1), "x"),
        ("a", "x" * (MAX_TEXT_CHARACTERS + 1)),
    ],
)
def test_what_cannot_be_a_note_is_refused(tmp_path: Path, title: str, text: str) -> None:
    """A title that names no file, and too much of anything, end in a sentence and in no file."""
    with pytest.raises(ValueError, match="title"):
        note_tool(tmp_path / "notes")(title, text)
    assert not (tmp_path / "notes").exists()


@settings(max_examples=300)
@given(
    st.text(max_size=MAX_TITLE_CHARACTERS) | st.sampled_from(["../../etc/passwd", "con", "a/b", "C:\\x", "\0", "a\nb"])
)
def test_no_title_leads_out_of_the_folder(title: str) -> None:
    """Whatever a title holds, the name is letters, digits and hyphens, and not one that a system keeps for itself."""
    try:
        name = file_name(title)
    except ValueError:
        return
    assert name.startswith("note-")
    assert all(letter in "abcdefghijklmnopqrstuvwxyz0123456789-" for letter in name)
    assert len(name) <= len("note-") + MAX_TITLE_CHARACTERS
