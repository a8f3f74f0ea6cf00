"""Values as a reader sees them: Markdown made safe, JSON in lines, numbers, times and durations in words."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from literal_server import clock, json_text
from literal_server.dashboard import colours
from literal_server.tables import Thread

LONGEST_TEXT = 100_000
_LONGEST_MARKDOWN = 50_000
_LONGEST_KEPT = 10_000
_CUT = "more characters are stored"
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td", "span"),
}


def make_markdown() -> MarkdownIt:
    """A Markdown reader that shows HTML as text, makes no images (they would be fetched) and knows tables."""
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True})
    reader.enable(["table", "strikethrough"]).disable("image")
    reader.add_render_rule("fence", _fence)
    return reader


def _fence(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _options: Mapping[str, Any], env: Mapping[str, float]
) -> str:
    token = tokens[index]
    return f"<pre><code>{colours.code_in_colours(token.content, token.info.strip(), env['until'])}</code></pre>\n"


def markdown(reader: MarkdownIt, text: str) -> Markup:
    """Answer Markdown as HTML that runs nothing and fetches nothing; very long texts stay plain.

    A text that was shown lately is not rendered again: it is its own revision.
    """
    if len(text) > _LONGEST_MARKDOWN:
        return Markup("<pre>{}</pre>").format(shortened(text))
    return _rendered(reader, text) if len(text) <= _LONGEST_KEPT else _render(reader, text)


def _render(reader: MarkdownIt, text: str) -> Markup:
    html = nh3.clean(
        reader.render(text, {"until": time.monotonic() + colours.MOST_SECONDS}),
        tags=_TAGS,
        allowed_classes={"span": set(colours.CLASSES)},
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(html)  # noqa: S704 - cleaned in the line above


_rendered = lru_cache(maxsize=1_000)(_render)


def plain(value: Any) -> str:
    """Answer a value as text: a text as it is, an object that only holds a text as that text, else JSON in lines."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("content"), str):
        value = value["content"]
    if not isinstance(value, str):
        return json_lines(value)
    return shortened(value)


def json_lines(value: Any) -> str:
    """Answer a value as JSON in lines, a text in quotes too."""
    return shortened(json.dumps(value, ensure_ascii=False, indent=2))


def calls(value: Any) -> str:
    """Answer the tool calls of a message a line each, as `name({"argument": 1})`; what has another shape as JSON."""
    lines = [_call(one) for one in (value if isinstance(value, list) else [value])]
    return plain(value) if None in lines else shortened("\n".join(filter(None, lines)))


def _call(given: Any) -> str | None:
    function = given.get("function", given) if isinstance(given, dict) else None
    name, arguments = (function.get("name"), function.get("arguments")) if isinstance(function, dict) else (None, None)
    return f"{name}({arguments})" if isinstance(name, str) and isinstance(arguments, str) else None


def shortened(text: str) -> str:
    """Cut a text that would choke a browser, and say so; lone surrogates become the replacement character."""
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}\n… {len(text) - LONGEST_TEXT:,} {_CUT}"
    return json_text.encodable(text).replace("\0", "\N{SYMBOL FOR NULL}")


def is_cut(end: str) -> bool:
    """Say whether a text, of which this is the end, was cut by `shortened`."""
    return end.endswith(_CUT)


def count(number: float | None) -> str:
    """Answer a number with its thousands apart, a dash when there is none."""
    return "–" if number is None else f"{number:,.0f}"  # noqa: RUF001 - a dash for a reader


def seconds(duration: float | None) -> str:
    """Answer a duration in the unit that a reader thinks in."""
    if duration is None:
        return "–"  # noqa: RUF001 - a dash for a reader
    if duration < 1:
        return f"{duration * 1_000:.0f} ms"
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def clock_time(seconds: float) -> str:
    """Answer a moment of a thread as the player shows it: minutes and seconds since the thread began."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def dollars(cost: float | None) -> str:
    """Answer a cost with as many digits as say something; one that is not known as unknown."""
    if cost is None:
        return "unknown"
    return "$0" if cost == 0 else "< $0.0001" if cost < 0.0001 else f"${cost:,.4f}" if cost < 1 else f"${cost:,.2f}"


def thread_cost(thread: Thread) -> str:
    """Answer what a thread cost: at least, where the price of some of its model calls is not known."""
    if thread.unpriced_count and not thread.cost:
        return "unknown"
    return f"{'≥ ' if thread.unpriced_count else ''}{dollars(thread.cost)}"


def moment(microseconds: int) -> str:
    """Answer a moment as a reader writes it, in UTC; the page's script turns it into local time."""
    return clock.to_datetime(microseconds).strftime("%d %b %Y, %H:%M UTC").lstrip("0")
