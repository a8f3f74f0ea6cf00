"""Costs: from the file, from the kept list, or unknown; added up, asked for, and brought up to new prices."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from literal_server import pricing
from literal_server.dashboard import text
from literal_server.prices import PRICES, Prices
from literal_server.tables import Thread
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

FILE = """
[[price]]
model = "house-*"
input = 1.0
output = 2.0

[[price]]
model = "gpt-4o"
provider = "azure"
input = 0
output = 0
"""
HOUSE = {"provider": "local", "model": "house-llama", "inputTokenCount": 1_000_000, "outputTokenCount": 500_000}
OPENAI = {"provider": "openai", "model": "gpt-4o", "inputTokenCount": 1_000, "outputTokenCount": 100}


def call(identity: str, thread: str, generation: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a model call."""
    return {"id": identity, "threadId": thread, "type": "llm", "generation": generation}


async def totals(server: Starlette, thread: str) -> tuple[float, int]:
    """Return the cost of a thread, and how many of its calls have none."""
    async with server.state.api.database.reading() as session:
        found = await session.get(Thread, (server.state.api.project, thread))
    return found.cost, found.unpriced_count


async def shown(http: httpx.AsyncClient, server: Starlette, query: str = "") -> str:
    """Return the list."""
    return (await http.get(f"/projects/{server.state.api.project}/logs/threads", params={"q": query})).text


def test_a_name_without_end_has_no_price(tmp_path: Path) -> None:
    """Whoever records may invent models: of names that no model has nothing is looked up, and nothing is kept."""
    (tmp_path / "prices.toml").write_text(FILE)
    prices = Prices(tmp_path / "prices.toml")

    assert prices.cost("house-" + "x" * 100, "local", 1, 1) is not None
    kept = len(prices._known)
    assert prices.cost("house-" + "x" * 1_000_000, "local", 1, 1) is None
    assert prices.cost("house-llama", "x" * 1_000_000, 1, 1) is None
    assert len(prices._known) == kept


def test_the_file_comes_before_the_list(tmp_path: Path) -> None:
    """The first entry whose patterns fit counts, then the list; a model in neither, or without tokens, is unknown."""
    (tmp_path / "prices.toml").write_text(FILE)
    prices = Prices(tmp_path / "prices.toml")

    assert prices.cost("HOUSE-llama", None, 1_000_000, 500_000) == 2.0
    assert prices.cost("gpt-4o", "azure", 1_000, 100) == 0
    listed = prices.cost("gpt-4o", "openai", 1_000, 100)
    assert listed is not None
    assert 0 < listed < 1
    assert prices.cost("gpt-4o", "openai", 2_000, 200) == pytest.approx(2 * listed)
    assert prices.cost("somebody-elses", "local", 1_000, 100) is None
    assert prices.cost(None, "openai", 1_000, 100) is None
    assert prices.cost("gpt-4o", "openai", None, 100) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[[price]]\nmodel = ", "Invalid value"),
        ('[[price]]\nmodel = "a"\ninput = 1\n', "Field required"),
        ('[[price]]\nmodel = "a"\ninput = -1\noutput = 1\n', "greater than or equal to 0"),
        ('[[prices]]\nmodel = "a"\n', "Extra inputs"),
        ('[[price]]\nmodel = "a"\ninput = nan\noutput = 1\n', "finite"),
        ("\udcff", "decode"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(tmp_path: Path, content: str, words: str) -> None:
    """What is wrong with it is told, and the prices before it stand."""
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    prices = Prices(path)
    before = prices.fingerprint
    path.write_bytes(content.encode(errors="surrogateescape"))
    prices.refresh()

    assert words in (prices.mistake or "")
    assert prices.cost("house-1", "", 1_000_000, 0) == 1.0
    assert prices.fingerprint == before
    path.write_text(FILE)
    prices.refresh()
    assert prices.mistake is None


@given(model=st.text(max_size=30), provider=st.text(max_size=10), tokens=st.integers(0, 2**31))
def test_any_name_of_a_model_has_a_cost_or_none(model: str, provider: str, tokens: int) -> None:
    """Whoever records may write anything as a model: it is priced or unknown."""
    cost = LISTED.cost(model, provider, tokens, tokens)
    assert cost is None or cost >= 0


LISTED = Prices(Path("no-such-file.toml"))


async def test_threads_add_up_their_costs(wire: Wire, http: httpx.AsyncClient, server: Starlette) -> None:
    """Known costs are added up; what is unknown is shown as that, never as nothing, and can be asked for."""
    await wire.report(call("a", "known", OPENAI), call("b", "known", OPENAI))
    await wire.report(call("c", "unknown", HOUSE), call("d", "both", HOUSE), call("e", "both", OPENAI))
    await wire.report({"id": "f", "threadId": "none", "type": "tool"})
    one = (await totals(server, "known"))[0] / 2
    assert one > 0
    assert await totals(server, "unknown") == (0, 1)
    assert await totals(server, "both") == (one, 1)

    for query, threads in (
        ("cost > 0.000001", {"known", "both"}),
        ("cost = 0", {"none"}),
        ("cost < 1000", {"known", "both", "none"}),
        ("not cost", {"unknown", "none"}),
        ("model.cost > 0.000001", {"known", "both"}),
    ):
        page = await shown(http, server, query)
        assert set(re.findall(r"/threads/(\w+)[?\"]", page)) == threads, query
    page = await shown(http, server)
    assert f"≥ {text.dollars(one)}" in page
    assert ">unknown</td>" in page
    step = (await http.get(f"/projects/{server.state.api.project}/logs/threads/unknown")).text
    assert "<dt>Cost</dt><dd>unknown" in step
    await wire.send(gql.DELETE_STEP, {"id": "d"})
    assert await totals(server, "both") == (one, 0)


async def test_new_prices_reach_what_is_stored(wire: Wire, server: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file changes all costs are worked out anew, some at a time; without a change nothing is done."""
    monkeypatch.setattr(pricing, "_AT_ONCE", 2)
    api = server.state.api
    await wire.report(*(call(f"s{n}", f"t{n % 2}", HOUSE) for n in range(5)), call("o", "t0", OPENAI))
    await pricing.apply(api.database)
    listed = (await totals(server, "t0"))[0]
    assert (await totals(server, "t0"))[1] == 3

    (api.settings.data_dir / "prices.toml").write_text(FILE)
    await pricing.apply(api.database)

    cost, unpriced = await totals(server, "t0")
    assert cost == pytest.approx(6 + listed)
    assert unpriced == 0
    assert await totals(server, "t1") == (4, 0)
    await wire.report(call("s9", "t1", HOUSE))
    assert await totals(server, "t1") == (6, 0)
    (api.settings.data_dir / "prices.toml").unlink()
    await pricing.apply(api.database)
    assert await totals(server, "t1") == (0, 3)
    async with api.database.reading() as session:
        prices: Prices = session.info[PRICES]
    monkeypatch.setattr(prices, "cost", None)
    await pricing.apply(api.database)


@pytest.mark.parametrize(
    ("cost", "words"),
    [(None, "unknown"), (0, "$0"), (0.00001, "< $0.0001"), (0.01234, "$0.0123"), (1234.5, "$1,234.50")],
)
def test_dollars_are_readable(cost: float | None, words: str) -> None:
    """As many digits as say something."""
    assert text.dollars(cost) == words
