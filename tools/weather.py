"""The weather now, from Open-Meteo or as a fixed sample."""

import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import httpx

Unit = Literal["celsius", "fahrenheit"]

WINDY_KILOMETRES_PER_HOUR = 29.0
"""From here on, Beaufort's force 5, the forecast says that it is windy."""
SKY = {
    0: "sunny",
    1: "mostly sunny",
    2: "partly cloudy",
    3: "cloudy",
    **dict.fromkeys((45, 48), "foggy"),
    **dict.fromkeys((51, 53, 55, 56, 57), "drizzle"),
    **dict.fromkeys((61, 63, 65, 66, 67), "rain"),
    **dict.fromkeys((71, 73, 75, 77), "snow"),
    **dict.fromkeys((80, 81, 82), "rain showers"),
    **dict.fromkeys((85, 86), "snow showers"),
    **dict.fromkeys((95, 96, 99), "thunderstorm"),
}
"""Open-Meteo's weather codes, which are those of the World Meteorological Organization."""
STATES = dict(
    re.findall(
        r"(\w\w)=(\w+)",
        "AL=alabama AK=alaska AZ=arizona AR=arkansas CA=california CO=colorado CT=connecticut DE=delaware FL=florida "
        "GA=georgia HI=hawaii ID=idaho IL=illinois IN=indiana IA=iowa KS=kansas KY=kentucky LA=louisiana ME=maine "
        "MD=maryland MA=massachusetts MI=michigan MN=minnesota MS=mississippi MO=missouri MT=montana NE=nebraska "
        "NV=nevada NH=new_hampshire NJ=new_jersey NM=new_mexico NY=new_york NC=north_carolina ND=north_dakota OH=ohio "
        "OK=oklahoma OR=oregon PA=pennsylvania RI=rhode_island SC=south_carolina SD=south_dakota TN=tennessee "
        "TX=texas UT=utah VT=vermont VA=virginia WA=washington WV=west_virginia WI=wisconsin WY=wyoming",
    )
)
"""Models like to write `San Francisco, CA`; the geocoder spells states out, and its CA is Canada."""


def weather_tool(
    geocoding_url: str, forecast_url: str, *, sample: bool, timeout_seconds: float
) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Return the tool for these two services; with `sample` it asks neither and always gives the same weather."""

    async def get_current_weather(location: str, unit: Unit = "fahrenheit") -> dict[str, Any]:
        """Get the current weather in one place.

        Args:
            location: The city, with region or country where the name alone is not clear, e.g. San Francisco, CA.
            unit: The unit of the temperature.
        """
        if not location.strip():
            raise ValueError("location is empty; give the name of a place.")
        if sample:
            return sample_weather(location, unit)
        async with httpx.AsyncClient(timeout=timeout_seconds) as client:
            place = await _find(client, geocoding_url, location)
            return await _forecast(client, forecast_url, place, unit)

    return get_current_weather


def sample_weather(location: str, unit: Unit) -> dict[str, Any]:
    """Return the same weather for any place: 72 °F, sunny and windy."""
    temperature = 72 if unit == "fahrenheit" else 22
    return {
        "location": location,
        "temperature": temperature,
        "unit": unit,
        "forecast": ["sunny", "windy"],
        "source": "sample",
    }


async def _find(client: httpx.AsyncClient, url: str, location: str) -> dict[str, Any]:
    """Return the best match for a name: its coordinates and its full name."""
    name, *rest = [part.strip() for part in location.split(",")]
    found = await _get(client, f"{url.rstrip('/')}/v1/search", {"name": name, "count": 10, "format": "json"})
    matches = found.get("results") or []
    if not isinstance(matches, list) or not all(isinstance(match, dict) for match in matches):
        raise RuntimeError("the weather service sent something that is not a list of places.")
    if not matches:
        raise LookupError(f"no place named {location!r} was found; try the name of a larger place near it.")
    return max(matches, key=lambda match: sum(_is_in(match, part) for part in rest))


def _is_in(match: dict[str, Any], part: str) -> bool:
    """Tell whether a place lies in the region or country that `part` names, as Paris in `Texas` or in `FR`."""
    names = {str(match.get(key)).casefold() for key in ("admin1", "admin2", "country", "country_code")}
    state = STATES.get(part.upper())
    return state.replace("_", " ") in names if state else part.casefold() in names


async def _forecast(client: httpx.AsyncClient, url: str, place: dict[str, Any], unit: Unit) -> dict[str, Any]:
    query = {
        "latitude": place.get("latitude"),
        "longitude": place.get("longitude"),
        "current": "temperature_2m,weather_code,wind_speed_10m",
        "temperature_unit": unit,
    }
    answer = await _get(client, f"{url.rstrip('/')}/v1/forecast", query)
    try:
        current = answer["current"]
        temperature, wind = float(current["temperature_2m"]), float(current["wind_speed_10m"])
        sky = SKY.get(int(current["weather_code"]), "unknown sky")
        if not (math.isfinite(temperature) and math.isfinite(wind)):
            raise ValueError(temperature, wind)
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeError("the weather service sent no temperature, wind and weather code.") from error
    return {
        "location": ", ".join(str(place[key]) for key in ("name", "admin1", "country") if place.get(key)),
        "temperature": round(temperature, 1),
        "unit": unit,
        "forecast": [sky, "windy"] if wind >= WINDY_KILOMETRES_PER_HOUR else [sky],
        "source": "open-meteo.com",
    }


async def _get(client: httpx.AsyncClient, url: str, query: dict[str, Any]) -> dict[str, Any]:
    """Fetch a JSON object; every way to fail ends in one sentence."""
    try:
        response = await client.get(url, params=query)
        response.raise_for_status()
        answer = response.json()
    except httpx.TimeoutException as error:
        raise RuntimeError("the weather service did not answer in time; try again later.") from error
    except httpx.HTTPStatusError as error:
        raise RuntimeError(f"the weather service failed with HTTP {error.response.status_code}.") from error
    except httpx.HTTPError as error:
        raise RuntimeError("the weather service cannot be reached.") from error
    except ValueError as error:
        raise RuntimeError("the weather service sent something that is not JSON.") from error
    if not isinstance(answer, dict):
        raise RuntimeError("the weather service sent something that is not a JSON object.")
    return answer
