"""What model calls cost: a file that one can edit, and behind it the kept list of the package genai-prices.

A price that is not known is unknown, never nothing: an offline model is free only where the file says so.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import genai_prices
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TieredPrices
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from literal_server.data_folder import sync
from literal_server.errors import Refused
from literal_server.plain_rows import PlainStep
from literal_server.settings import ServerSettings, explain
from literal_server.tables import Step

logger = logging.getLogger(__name__)

PRICES = "prices"
MILLION = 1_000_000
# Costs are added up in any order: rounding keeps the sum the same.
DIGITS = 9
MOST_ENTRIES = 1_000
_HEAD = "# Dollars for a million tokens; the first entry that fits counts. The page Prices writes this file, too.\n"
_MOST_CACHED = 10_000  # names of models: whoever records may invent them
_LONGEST_NAME = 300

# Dollars for so many tokens in and out.
Cost = Callable[[int, int], float]


class Entry(BaseModel):
    """One price of the file: dollars for a million tokens, for the models whose names fit a pattern such as gpt-4o*."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1, max_length=300)
    provider: str = Field(default="*", min_length=1, max_length=300)
    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)

    def fits(self, model: str, provider: str) -> bool:
        """Say whether it is for this model."""
        return fnmatchcase(model.lower(), self.model.lower()) and fnmatchcase(provider.lower(), self.provider.lower())


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price: Sequence[Entry] = ()


@dataclass(frozen=True)
class Price:
    """Where a price comes from, in words, and what calls cost by it."""

    source: str
    cost: Cost

    @property
    def rates(self) -> tuple[float, float]:
        """Dollars for a million tokens in and out, as in a call of a thousand: some models cost more in long ones."""
        return round(1_000 * self.cost(1_000, 0), 6), round(1_000 * self.cost(0, 1_000), 6)


class Prices:
    """The prices as they are now. The file is read anew when it has changed, by `refresh`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistake: str | None = None
        self._content: bytes | None = None
        self._entries: Sequence[Entry] = ()
        self._known: dict[tuple[str, str], Price | None] = {}
        self._writing = threading.Lock()
        self.refresh()

    @property
    def fingerprint(self) -> str:
        """Says whether prices may have changed: a digest of the file and the version of the list."""
        own = repr(self._entries).encode()
        return hashlib.sha256(own + genai_prices.__version__.encode()).hexdigest()

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries of the file, of which the first that fits counts."""
        return self._entries

    def put(self, entry: Entry) -> None:
        """Write an entry into the file, in the place of the one with the same patterns, else before all others.

        Blocks: call it in a thread. Raises Refused as `remove` does.
        """
        with self._writing:
            entries = [entry if _is_same(one, entry.model, entry.provider) else one for one in self._current()]
            self._write(entries if entry in entries else [entry, *entries])

    def remove(self, model: str, provider: str) -> None:
        """Take the entry with these patterns out of the file. Blocks: call it in a thread.

        Raises Refused while the file has a mistake: nothing of what somebody wrote into it is to be lost.
        """
        with self._writing:
            self._write([one for one in self._current() if not _is_same(one, model, provider)])

    def _current(self) -> Sequence[Entry]:
        self.refresh()
        if self.mistake is not None:
            raise Refused(f"{self.path.name} has a mistake, which has to be mended in the file first: {self.mistake}")
        return self._entries

    def _write(self, entries: Sequence[Entry]) -> None:
        if len(entries) > MOST_ENTRIES:
            raise Refused(f"{self.path.name} has at most {MOST_ENTRIES:,} entries.")
        if self.path.exists() and not (self._content or b"").startswith(_HEAD.encode()):
            # A person wrote it, perhaps with remarks, which are not written again.
            with contextlib.suppress(FileExistsError):
                os.link(self.path, self.path.with_name(f"{self.path.name}.before"))
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, prefix=".draft-", delete=False) as draft:
            draft.write(_HEAD + "".join(map(_as_toml, entries)))
            draft.flush()
            os.fsync(draft.fileno())
        os.replace(draft.name, self.path)
        sync(self.path.parent)
        self.refresh()

    def refresh(self) -> None:
        """Read the file, if it has changed. One with a mistake changes nothing; `mistake` says what is wrong."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        if content == self._content:
            return
        self._content = content
        try:
            self._entries = _File.model_validate(tomllib.loads(content.decode())).price
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
            self.mistake = explain(error) if isinstance(error, ValidationError) else str(error)
            logger.error("%s cannot be read, so prices stay as they were: %s", self.path.name, self.mistake)
            return
        self.mistake = None
        self._known = {}

    def of(self, model: str, provider: str) -> Price | None:
        """Answer the price of a model, None when it is not known."""
        key = (model, provider)
        if max(map(len, key)) > _LONGEST_NAME:
            return None
        if key not in self._known:
            if len(self._known) >= _MOST_CACHED:
                self._known = {}
            self._known[key] = self._look_up(model, provider)
        return self._known[key]

    def _look_up(self, model: str, provider: str) -> Price | None:
        own = next((entry for entry in self._entries if entry.fits(model, provider)), None)
        if own is not None:
            return Price(f"{self.path.name}: {own.model}", _by_rates(own.input, own.output))
        return _of_list(model, provider)

    def cost(
        self, model: str | None, provider: str | None, tokens_in: int | None, tokens_out: int | None
    ) -> float | None:
        """Answer the dollars of one call, None when its price or its tokens are not known."""
        if not model or tokens_in is None:
            return None
        price = self.of(model, provider or "")
        return None if price is None else round(price.cost(max(0, tokens_in), max(0, tokens_out or 0)), DIGITS)


def session_info(settings: ServerSettings) -> dict[str, Any]:
    """What the sessions of a database have to know of prices."""
    return {PRICES: Prices(settings.data_dir / "prices.toml")}


def lay_cost(info: Mapping[Any, Any], step: Step | PlainStep) -> None:
    """Put the cost of its model call on a step; where the info of the session knows no prices it stays unknown."""
    prices: Prices | None = info.get(PRICES)
    if prices is not None and step.generation is not None:
        step.cost = prices.cost(step.model, step.provider, step.input_tokens, step.output_tokens)


def _is_same(entry: Entry, model: str, provider: str) -> bool:
    return (entry.model, entry.provider) == (model, provider)


def _as_toml(entry: Entry) -> str:
    # A text of printable characters is written alike in JSON and TOML.
    fields = {"model": json.dumps(entry.model, ensure_ascii=False), "input": entry.input, "output": entry.output}
    provider = {} if entry.provider == "*" else {"provider": json.dumps(entry.provider, ensure_ascii=False)}
    return "\n[[price]]\n" + "".join(f"{name} = {value}\n" for name, value in (fields | provider).items())


def _by_rates(dollars_in: float, dollars_out: float) -> Cost:
    return lambda tokens_in, tokens_out: (tokens_in * dollars_in + tokens_out * dollars_out) / MILLION


def _of_list(model: str, provider: str) -> Price | None:
    try:
        found, known = get_snapshot().find_provider_model(model, None, provider or None, None)
    except LookupError:
        return None
    source = f"genai-prices {genai_prices.__version__}: {found.id} {known.id}"
    price = known.get_prices(datetime.now(UTC))
    # Prices for sound, pictures, searches and cached tokens are for what a generation does not count apart.
    rates = [getattr(price, name, None) for name in ("input_mtok", "output_mtok", "requests_kcount")]
    if rates == [None, None, None]:
        return None
    if rates[2] is None and not any(isinstance(rate, TieredPrices) for rate in rates):
        return Price(source, _by_rates(float(rates[0] or 0), float(rates[1] or 0)))

    def by_list(tokens_in: int, tokens_out: int) -> float:
        """Ask the list itself: the price depends on how many tokens there are."""
        return float(price.calc_price(Usage(input_tokens=tokens_in, output_tokens=tokens_out))["total_price"])

    return Price(source, by_list)
