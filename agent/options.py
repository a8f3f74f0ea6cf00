"""What a person may set for the turns of one thread; what is not set is as the app has it."""

from dataclasses import dataclass


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
