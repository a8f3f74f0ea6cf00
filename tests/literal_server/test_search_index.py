"""The index file by itself: what is found is what was laid into it, by project, whatever was moved or taken out."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_server import search_index
from literal_server.search_index import Document, SearchIndex

TEXTS = st.sampled_from(["apple", "apple pear", "pear", None])
LAYINGS = st.lists(
    st.tuples(st.sampled_from("xy"), st.integers(0, 7).map(str), st.sampled_from("tuv"), TEXTS), max_size=40
)


def laid(index: SearchIndex, *documents: Document) -> None:
    """Lay documents into an index."""
    if index.position() is None:
        index.begin(0)
    assert index.apply(documents, 0, 0)


def said(owner: str, thread: str, text: str | None = "apple", project: str = "x") -> Document:
    """What a step says."""
    return Document(project, "step", owner, thread, text)


@settings(max_examples=60, deadline=None)
@given(LAYINGS)
def test_what_is_found_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, layings: list[tuple[str, str, str, str | None]]
) -> None:
    """However documents come, change, move between threads and go, in small ranges: each project finds its own."""
    index = SearchIndex(tmp_path_factory.mktemp("index") / "search.db")
    there: dict[tuple[str, str], tuple[str, str]] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search_index, "_OWN_BITS", 2)
        patched.setattr(search_index, "_NEWER_RANGES", 2)
        for project, owner, thread, text in layings:
            laid(index, said(owner, thread, text, project))
            there.pop((project, owner), None)
            if text is not None:
                there[project, owner] = (thread, text)
        for project in "xy":
            for word in ("apple", "pear"):
                hits = index.find(project, f'"{word}"', 100)
                expected = {(thread, owner) for (of, owner), (thread, text) in there.items()
                            if of == project and word in text}  # fmt: skip
                owners = index.texts(list(hits.documents.values()))
                assert set(hits.documents) == {thread for thread, _ in expected}
                assert {(thread, owners[number][1]) for thread, number in hits.documents.items()} <= expected
                assert not hits.is_cut
    index.close()


def test_other_projects_do_not_crowd_out(tmp_path: Path) -> None:
    """What another project says a thousand times neither hides one's own hit nor makes it look cut off."""
    index = SearchIndex(tmp_path / "search.db")
    laid(index, said("mine", "t"), *(said(f"{n}", f"u{n}", project="y") for n in range(1_000)))
    laid(index, said("late", "v", project="z"))

    assert set(index.find("x", '"apple"', 5).documents) == {"t"}
    assert set(index.find("z", '"apple"', 5).documents) == {"v"}
    assert not index.find("x", '"apple"', 5).is_cut
    assert index.find("y", '"apple"', 5).is_cut
    assert index.find("nowhere", '"apple"', 5).documents == {}


def test_a_thread_that_goes_on_is_among_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many hits the latest are kept: those of an old thread, too, in which something was said just now."""
    monkeypatch.setattr(search_index, "_NEWER_RANGES", 3)
    index = SearchIndex(tmp_path / "search.db")
    laid(index, said("first", "old"), *(said(f"{n}", f"u{n}") for n in range(10)), said("again", "old"))

    hits = index.find("x", '"apple"', 3)
    assert (list(hits.documents), hits.is_cut) == (["old", "u9", "u8"], True)
    assert index.texts([index.find("x", '"apple"', 100).documents["old"]]).popitem()[1][1] == "first"


def test_a_thread_may_hold_more_than_a_range(tmp_path: Path) -> None:
    """A thread of three thousand steps has all of them in the index, under numbers of their own."""
    index = SearchIndex(tmp_path / "search.db")
    laid(index, *(said(f"{n}", "t", f"word{n}") for n in range(3_000)))

    for n in (0, 1_023, 1_024, 2_999):
        (number,) = index.find("x", f'"word{n}"', 5).documents.values()
        assert index.texts([number])[number] == ("step", f"{n}", f"word{n}")


def test_nothing_is_left_of_a_thread_that_is_gone(tmp_path: Path) -> None:
    """With its last document the thread's own id leaves the file."""
    path = tmp_path / "search.db"
    index = SearchIndex(path)
    laid(index, said("a", "secret-thread"), said("b", "secret-thread"), said("c", "t"))
    laid(index, said("a", "secret-thread", None), said("b", "t", "pear"))
    index.forget_removed()
    index.close()

    assert b"secret-thread" not in path.read_bytes()


def test_an_index_of_an_earlier_form_is_made_anew(tmp_path: Path) -> None:
    """A file as an earlier version left it counts as never begun, so that the server fills it again."""
    path = tmp_path / "search.db"
    index = SearchIndex(path)
    laid(index, said("a", "t"))
    index.close()
    with sqlite3.connect(path) as old:
        old.execute("DROP TABLE ranges")
        old.execute("PRAGMA user_version=2")
    old.close()

    assert index.position() is None
    laid(index, said("a", "t"))
    assert set(index.find("x", '"apple"', 5).documents) == {"t"}
