"""What a person may set for the turns of one thread; what is not set is as the app has it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.json_text import whole_characters

MAX_PROMPT_CHARACTERS = 20_000
HOTTEST = 2.0
"""The highest temperature of the Chat Completions API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings of a turn. None and nothing stand for the app's own; so a thread follows when those change.

    `tools_off` names the tools that the model is not offered: a tool that is new to the app is on.
    """

    model: str | None = None
    temperature: float | None = None
    system_prompt: str | None = None
    max_iterations: int | None = None
    tools_off: frozenset[str] = frozenset()


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Limits:
    """What options are checked against: the models there are, the most model calls in a turn, the tools there are."""

    models: Collection[str]
    max_iterations: int
    tools: Collection[str]


def as_stored(options: Options) -> dict[str, Any]:
    """Return options as JSON can hold them; what is not set is left out."""
    stored: dict[str, Any] = {
        "model": options.model,
        "temperature": options.temperature,
        "system_prompt": options.system_prompt,
        "max_iterations": options.max_iterations,
        "tools_off": sorted(options.tools_off) or None,
    }
    return {key: value for key, value in stored.items() if value is not None}


def read_options(values: Mapping[str, Any], limits: Limits) -> tuple[Options, list[str]]:
    """Take from untrusted values, in the keys of `as_stored`, what is allowed.

    The rest is left as the app has it; for each of these there is a sentence for the person in the second result.
    """
    problems: list[str] = []

    def kept(key: str, allowed: bool, otherwise: str) -> Any:
        value = values.get(key)
        if value is None or allowed:
            return value
        problems.append(otherwise)
        return None

    model, off = values.get("model"), values.get("tools_off")
    named = model if isinstance(model, str) and len(model) <= 200 else "of this name"
    prompt = kept(
        "system_prompt",
        _is_prompt(values.get("system_prompt")),
        f"A system prompt has at most {MAX_PROMPT_CHARACTERS:,} characters, so it is the app's own.",
    )
    options = Options(
        model=kept(
            "model",
            isinstance(model, str) and model in limits.models,
            f"The model server does not list the model {named}, so the app's own answers.",
        ),
        temperature=kept(
            "temperature",
            _is_temperature(values.get("temperature")),
            f"The temperature is a number from 0 to {HOTTEST:g}, so it is the model's own.",
        ),
        system_prompt=whole_characters(prompt).strip() or None if prompt else None,
        max_iterations=kept(
            "max_iterations",
            _is_count(values.get("max_iterations"), limits.max_iterations),
            f"The model may be called from 1 to {limits.max_iterations} times in a turn, so it is the most.",
        ),
        tools_off=frozenset(name for name in limits.tools if isinstance(off, list) and name in off),
    )
    return options, problems


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_PROMPT_CHARACTERS


def _is_temperature(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= HOTTEST


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most
