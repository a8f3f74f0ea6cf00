"""Notes that stay: Markdown files in one folder, each written with a person's consent."""

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

MAX_TITLE_CHARACTERS = 80
MAX_TEXT_CHARACTERS = 100_000


def note_tool(folder: Path) -> Callable[[str, str], str]:
    """Return the tool that writes notes into this folder, which is made with the first one."""

    def save_note(title: str, text: str) -> str:
        """Save a note as a Markdown file on the computer that runs this app. An existing note is never changed.

        Args:
            title: A short title; the file is named after it.
            text: What the note says, in Markdown.
        """
        if len(title) > MAX_TITLE_CHARACTERS or len(text) > MAX_TEXT_CHARACTERS:
            raise ValueError(
                f"a title has at most {MAX_TITLE_CHARACTERS} characters and a text at most {MAX_TEXT_CHARACTERS:,}."
            )
        name = f"{file_name(title)}.md"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
        try:
            note = os.open(folder / name, flags, 0o600)
        except FileExistsError as error:
            raise ValueError(f"there is a note {name} already; choose another title.") from error
        with os.fdopen(note, "w", encoding="utf-8") as file:
            file.write(f"# {' '.join(title.split())}\n\n{text.strip()}\n")
        return f"Saved as {name}."

    return save_note


def file_name(title: str) -> str:
    """Return a name in plain letters, digits and hyphens; its beginning keeps it from names such as `con`.

    Raises ValueError where nothing of the title is left.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = "-".join(re.findall(r"[a-z0-9]+", plain))[:MAX_TITLE_CHARACTERS].strip("-")
    if not name:
        raise ValueError("the title needs a letter or a digit from the Latin alphabet, as the file is named after it.")
    return f"note-{name}"
