"""All tools of the agent, listed by hand: a typed function with a docstring is a tool."""

from dataclasses import dataclass
from pathlib import Path

from agent.toolbox import Tool
from tools.calculator import calculate
from tools.clock import get_current_time
from tools.notes import note_tool
from tools.weather import weather_tool


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What the tools must be told; `weather_sample` serves a fixed sample and asks nobody, `notes_dir` is for notes."""

    weather_geocoding_url: str = "https://geocoding-api.open-meteo.com"
    weather_forecast_url: str = "https://api.open-meteo.com"
    weather_sample: bool = False
    weather_timeout_seconds: float = 10.0
    notes_dir: Path = Path("data/notes")
    approval_seconds: float = 600.0


def build_tools(settings: ToolSettings) -> list[Tool]:
    """Return the tools.

    `timeout_seconds` is how long one may take before the model hears that it did not answer. One with
    `approval_seconds` waits so long for a person to consent to each call, and does not run without.
    """
    get_current_weather = weather_tool(
        settings.weather_geocoding_url,
        settings.weather_forecast_url,
        sample=settings.weather_sample,
        timeout_seconds=settings.weather_timeout_seconds,
    )
    return [
        Tool.from_function(get_current_weather, timeout_seconds=2 * settings.weather_timeout_seconds + 5),
        Tool.from_function(calculate, timeout_seconds=5),
        Tool.from_function(get_current_time, timeout_seconds=5),
        Tool.from_function(
            note_tool(settings.notes_dir), timeout_seconds=10, approval_seconds=settings.approval_seconds
        ),
    ]
