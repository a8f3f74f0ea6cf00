"""Colours of code and JSON: they change no character, run nothing, end in time, and can be read in light and dark."""

import json
import re
import time
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_server.dashboard import colours, pages, text

LANGUAGES = sorted(set(colours._LANGUAGES.values()))
SLOW = {"java": "\n", "javascript": '"\\', "typescript": "a.", "cpp": "\n", "diff": "x;", "xml": "&"}

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.just("</span><script>"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def read(html: str) -> str:
    """Answer what a reader sees of it; whatever is not one of our spans stays, and is seen, too."""
    return unescape(re.sub(r'<span class="c-[a-z]+">|</span>', "", html))


@given(values)
def test_json_stays_what_it_is(value: object) -> None:
    """Without its spans it is the same text, and nothing else in it is an element."""
    given = json.dumps(value, ensure_ascii=False, indent=2)
    html = colours.json_in_colours(given)

    assert read(html) == given
    assert "<script" not in html


@settings(deadline=None)  # a language's words are compiled when it is first met
@given(st.sampled_from(LANGUAGES), st.text() | st.text("a<>&\"'`\\/\n {}()#", max_size=60))
def test_code_stays_what_it_is(language: str, code: str) -> None:
    """The same, for whatever claims to be in a language that is known."""
    assert read(colours.code_in_colours(code, language, time.monotonic() + 1)) == code


def test_json_has_its_colours() -> None:
    """Names, texts, numbers and words can be told apart; what is no JSON, or too long for its place, is as it was."""
    html = colours.json_in_colours('{"a": ["b", 1, true]}')

    assert [*re.findall(r'class="(c-[a-z]+)">([^<]+)', html)] == [
        ("c-name", "&#34;a&#34;"), ("c-text", "&#34;b&#34;"), ("c-number", "1"), ("c-word", "true"),
    ]  # fmt: skip
    for plain in ("{no json}", "plain text", "[" * 1500, json.dumps(["x" * colours.LONGEST_FOLDED])):
        assert "span" not in colours.json_in_colours(plain)
    assert "span" in colours.json_in_colours(json.dumps(["x" * colours.LONGEST_FOLDED]), colours.LONGEST_JSON)


def test_code_in_an_answer_has_its_colours() -> None:
    """A fence with a known language is coloured, another one not; what stands in it becomes no class, no markup."""
    reader = text.make_markdown()
    html = text.markdown(reader, '```python\ndef f(): return "<b class=x>"\n```\n\n```nobody-knows\ndef f()\n```')

    assert '<span class="c-word">def</span>' in html
    assert '<span class="c-name">f</span>' in html
    assert "&lt;b class=x&gt;" in html
    assert "<pre><code>def f()\n</code></pre>" in html
    assert "<span" not in text.markdown(reader, '<span class="c-bad">typed</span>')


@pytest.mark.parametrize(("language", "piece"), SLOW.items())
def test_who_makes_a_reader_slow_gets_no_colours(language: str, piece: str) -> None:
    """Texts for which a reader takes seconds are given up after a moment, with all that is left of them."""
    code = (piece * colours.LONGEST_CODE)[: colours.LONGEST_CODE]
    began = time.process_time()
    html = colours.code_in_colours(code, language, time.monotonic() + colours.MOST_SECONDS)

    assert time.process_time() - began < 0.5
    assert read(html) == code


@pytest.mark.parametrize("ground", ["card", "sunk"])
def test_colours_can_be_read(ground: str) -> None:
    """Each has a contrast of at least 4.5 to what it stands on, in light and in dark (WCAG AA)."""
    css = (Path(pages.HERE) / "static" / "tokens.css").read_text()
    for theme in css.split("@media"):
        known = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", theme))
        inks = [name for name in known if name.startswith("code-")]
        assert len(inks) == 4
        for ink in (*inks, "quiet", "bad"):
            assert contrast(known[ink], known[ground]) >= 4.5, (ink, ground)


def contrast(one: str, two: str) -> float:
    """Answer the contrast of two colours as WCAG defines it."""
    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
