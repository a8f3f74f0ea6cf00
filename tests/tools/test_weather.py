"""The weather tool against a real server on this machine, and its fixed sample."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tools import ToolSettings, build_tools
from tools.weather import Unit, sample_weather, weather_tool

pytestmark = pytest.mark.anyio

PARIS = {"name": "Paris", "admin1": "Île-de-France", "country": "France", "country_code": "FR", "latitude": 48.85}
PARIS_IN_TEXAS = {
    "name": "Paris",
    "admin1": "Texas",
    "country": "United States",
    "country_code": "US",
    "latitude": 33.7,
}
WEATHER = {"current": {"temperature_2m": 21.44, "weather_code": 0, "wind_speed_10m": 35.0}}
OK = "200 OK"


class Service:
    """Both services at one address: what they answer, and what they were asked."""

    def __init__(self, places: Any, weather: Any, status: str, silent: bool) -> None:
        self.asked: list[dict[str, str]] = []
        self.url = ""
        self._answers = {"/v1/search": places, "/v1/forecast": weather}
        self._status = status
        self._silent = silent

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        address = urlsplit(request)
        self.asked.append({name: values[0] for name, values in parse_qs(address.query).items()})
        answer = self._answers[address.path]
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        if self._silent:
            await reader.read()
        with contextlib.suppress(ConnectionError):
            writer.write(
                f"HTTP/1.1 {self._status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            )
            writer.write(body)
            await writer.drain()
            writer.close()


@contextlib.asynccontextmanager
async def serve(
    places: Any = None, weather: Any = WEATHER, status: str = OK, silent: bool = False
) -> AsyncIterator[Service]:
    service = Service({"results": [PARIS, PARIS_IN_TEXAS]} if places is None else places, weather, status, silent)
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    async with server:
        service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield service


async def ask(
    service: Service, location: str = "Paris", unit: Unit = "celsius", seconds: float = 5.0
) -> dict[str, Any]:
    tool = weather_tool(service.url, f"{service.url}/", sample=False, timeout_seconds=seconds)
    return await tool(location, unit)


async def test_the_weather_of_a_place() -> None:
    """The place is looked up, its weather asked for in the unit, and both are told in plain words."""
    async with serve() as service:
        weather = await ask(service)

    assert weather == {
        "location": "Paris, Île-de-France, France",
        "temperature": 21.4,
        "unit": "celsius",
        "forecast": ["sunny", "windy"],
        "source": "open-meteo.com",
    }
    search, forecast = service.asked
    assert search["name"] == "Paris"
    assert (forecast["latitude"], forecast["temperature_unit"]) == ("48.85", "celsius")


@pytest.mark.parametrize(
    ("location", "latitude"),
    [("Paris, TX", "33.7"), ("Paris, Texas, US", "33.7"), ("Paris, France", "48.85"), ("Paris, Nowhere", "48.85")],
)
async def test_the_region_chooses_among_places_of_one_name(location: str, latitude: str) -> None:
    """A state or country after the name picks the place; one that fits none leaves the first."""
    async with serve() as service:
        await ask(service, location)

    assert service.asked[1]["latitude"] == latitude


@pytest.mark.parametrize("places", [{}, {"results": []}, {"results": None}])
async def test_a_place_that_is_not_found(places: Any) -> None:
    """The error names the place and says what to try."""
    async with serve(places) as service:
        with pytest.raises(LookupError, match="'Paris' was found; try"):
            await ask(service)


@pytest.mark.parametrize(
    ("places", "weather"),
    [
        ("<html>", WEATHER),
        ("[1]", WEATHER),
        ({"results": "Paris"}, WEATHER),
        ({"results": [1]}, WEATHER),
        (None, "<html>"),
        (None, {}),
        (None, {"current": None}),
        (None, {"current": {"temperature_2m": "hot", "weather_code": 0, "wind_speed_10m": 1}}),
        (None, '{"current": {"temperature_2m": NaN, "weather_code": 0, "wind_speed_10m": 1}}'),
    ],
)
async def test_strange_answers_are_an_error_in_words(places: Any, weather: Any) -> None:
    """Whatever the services send, the tool fails with a sentence about them."""
    async with serve(places, weather) as service:
        with pytest.raises(RuntimeError, match="the weather service sent"):
            await ask(service)


async def test_a_failing_service_is_named_with_its_status() -> None:
    """HTTP 500 is told as such."""
    async with serve(status="500 Internal Server Error") as service:
        with pytest.raises(RuntimeError, match="failed with HTTP 500"):
            await ask(service)


async def test_a_silent_service_is_given_up() -> None:
    """After its time limit the tool says that there was no answer."""
    async with serve(silent=True) as service:
        with pytest.raises(RuntimeError, match="did not answer in time"):
            await ask(service, seconds=0.05)


async def test_a_service_that_is_not_there() -> None:
    """No connection is told as such."""
    async with serve() as service:
        pass
    with pytest.raises(RuntimeError, match="cannot be reached"):
        await ask(service)


async def test_an_unknown_weather_code_is_no_failure() -> None:
    """The temperature is still told."""
    current = {"temperature_2m": 20, "weather_code": 42, "wind_speed_10m": 1}
    async with serve(weather={"current": current}) as service:
        assert (await ask(service))["forecast"] == ["unknown sky"]


async def test_no_place_at_all() -> None:
    """An empty name is refused before anybody is asked."""
    async with serve() as service:
        with pytest.raises(ValueError, match="location is empty"):
            await ask(service, "  ")
    assert service.asked == []


def test_the_sample_is_the_same_everywhere() -> None:
    """72 °F, which are 22 °C, sunny and windy, and marked as a sample."""
    weather = {"location": "Paris", "temperature": 72, "unit": "fahrenheit", "forecast": ["sunny", "windy"]}

    assert sample_weather("Paris", "fahrenheit") == weather | {"source": "sample"}
    assert sample_weather("Paris", "celsius")["temperature"] == 22


def test_the_tools_are_listed() -> None:
    """Each tool has its name, its words for the model and its time limit."""
    tools = build_tools(ToolSettings())

    assert [tool.name for tool in tools] == ["get_current_weather", "calculate", "get_current_time", "save_note"]
    assert [tool.name for tool in tools if tool.approval_seconds] == ["save_note"]
    weather = tools[0].parameters
    assert weather["required"] == ["location"]
    assert weather["properties"]["unit"]["enum"] == ["celsius", "fahrenheit"]
    assert all("description" in shape for tool in tools for shape in tool.parameters["properties"].values())
