"""The page of prices: what the called models cost, and prices of one's own in the same file that a person may edit."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from literal_server import pricing
from literal_server.app import create_app
from literal_server.auth import Visitor
from literal_server.errors import Refused
from literal_server.prices import Entry, Prices
from literal_server.settings import ServerSettings
from literal_server.tables import Thread
from tests.literal_server.wire import Wire

pytestmark = pytest.mark.anyio

OWN = {"origin": "http://localhost"}
HOSTILE = "<script>alert(1)</script>"
HOUSE = {"provider": "local", "model": "house-llama", "inputTokenCount": 1_000_000, "outputTokenCount": 500_000}
KNOWN = {"provider": "openai", "model": "gpt-4o", "inputTokenCount": 1_000, "outputTokenCount": 100}


async def door(request: Request) -> Visitor | None:
    """Let everybody in: root is an admin, all others read everything."""
    name = request.headers.get("x-who", "root")
    return Visitor(name, sees_all=True, is_admin=name == "root")


@pytest.fixture
async def server(server_settings: ServerSettings, anyio_backend: str) -> AsyncIterator[Starlette]:
    made = create_app(server_settings, door)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def page(wire: Wire, server: Starlette) -> str:
    """The address of the page, when three models were called: one that is known, one that is not, and a hostile one."""
    models = (HOUSE, KNOWN, {**HOUSE, "model": HOSTILE, "provider": HOSTILE})
    for number, made in enumerate(models):
        await wire.report({"id": f"c{number}", "threadId": f"t{number}", "type": "llm", "generation": made})
    return f"/projects/{server.state.api.project}/prices"


async def test_called_models_have_their_price_or_none(http: httpx.AsyncClient, page: str) -> None:
    """A known model has the price of the list and where it is from; an unknown one says so, and comes first."""
    shown = (await http.get(page)).text

    assert HOSTILE not in shown
    assert shown.index("house-llama") < shown.index("gpt-4o</bdi>")
    line = shown.split("gpt-4o</bdi>")[1].split("</tr>")[0]
    assert "genai-prices" in line
    assert "$2.5<" in line
    assert "$10<" in line
    assert "unknown" in shown.split("house-llama</bdi>")[1].split("</tr>")[0]


async def test_a_price_is_set_changed_and_removed(http: httpx.AsyncClient, server: Starlette, page: str) -> None:
    """What is set is in force and reaches the costs; set anew it is changed, and removed it is gone."""
    cost = []
    for form in ({"input": "1", "output": "2"}, {"input": "0.5", "output": "0"}, {"do": "remove"}):
        sent = {"model": "house-*", "provider": "" if "input" in form else "*"} | form
        response = await http.post(page, data=sent, headers=OWN, follow_redirects=True)
        assert response.status_code == 200
        await pricing.apply(server.state.api.database)
        async with server.state.api.database.reading() as session:
            thread = await session.get_one(Thread, (server.state.api.project, "t0"))
        cost.append((thread.cost, thread.unpriced_count))
        assert ("house-*" in response.text) is ("input" in form)

    assert cost == [(2.0, 0), (0.5, 0), (0.0, 1)]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"model": "", "input": "1", "output": "1"}, "model"),
        ({"model": "m", "input": "-1", "output": "1"}, "input"),
        ({"model": "m", "input": "nan", "output": "1"}, "input"),
        ({"model": "m", "input": "1", "output": "much"}, "output"),
        ({"model": "m\n[[price]]", "input": "1", "output": "1"}, "printable"),
        ({"model": "m" * 301, "input": "1", "output": "1"}, "model"),
    ],
)
async def test_what_is_no_price_is_refused(
    http: httpx.AsyncClient, server_settings: ServerSettings, page: str, form: dict[str, str], words: str
) -> None:
    """The page says what is wrong, still holds what was typed, and no file is written."""
    response = await http.post(page, data=form, headers=OWN)

    assert response.status_code == 400
    assert words in response.text.split('role="alert"')[1].split("</div>")[0]
    assert f'value="{form["output"]}"' in response.text
    assert not (server_settings.data_dir / "prices.toml").exists()


async def test_prices_are_for_admins_and_their_own_forms(
    http: httpx.AsyncClient, server_settings: ServerSettings, page: str
) -> None:
    """A reviewer sees no such page and no link to it; a form of another page changes nothing."""
    form = {"model": "m", "input": "1", "output": "1"}
    thread = page.replace("/prices", "/logs/threads/t0")
    assert (await http.get(page, headers={"x-who": "rea"})).status_code == 403
    assert (await http.post(page, data=form, headers=OWN | {"x-who": "rea"})).status_code == 403
    assert (await http.post(page, data=form, headers={"origin": "http://evil.test"})).status_code == 403
    assert "/prices" not in (await http.get(thread, headers={"x-who": "rea"})).text
    assert "/prices?model=house-llama&amp;provider=local" in (await http.get(thread)).text
    assert not (server_settings.data_dir / "prices.toml").exists()


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "Käse-*", "a]b", "🧀", "# no remark"])
def test_names_survive_the_file(tmp_path: Path, name: str) -> None:
    """Whatever can be printed is read back as it was written, the latest before all others."""
    prices = Prices(tmp_path / "prices.toml")
    prices.put(Entry(model="other", input=1e-7, output=123456789.125))
    prices.put(Entry(model=name, provider=name, input=1, output=2))

    again = Prices(tmp_path / "prices.toml")
    assert again.mistake is None
    assert [(one.model, one.provider, one.input, one.output) for one in again.entries] == [
        (name, name, 1, 2), ("other", "*", 1e-7, 123456789.125),
    ]  # fmt: skip
    assert sorted(one.name for one in tmp_path.iterdir()) == ["prices.toml"]


def test_what_a_person_wrote_is_not_lost(tmp_path: Path) -> None:
    """Of a file that was written by hand a copy stays, with its remarks; one with a mistake is not written over."""
    path = tmp_path / "prices.toml"
    path.write_text('# as agreed in May\n[[price]]\nmodel = "a"\ninput = 1\noutput = 1\n')
    Prices(path).put(Entry(model="b", input=2, output=2))
    assert "agreed in May" in (tmp_path / "prices.toml.before").read_text()
    assert [one.model for one in Prices(path).entries] == ["b", "a"]

    path.write_text("[[price]]\nmodel = ")
    with pytest.raises(Refused, match="mended in the file first"):
        Prices(path).put(Entry(model="c", input=2, output=2))
    assert path.read_text() == "[[price]]\nmodel = "
