"""The settings of a thread in the chat: the panel that shows them, what comes back from it, and where they are kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chainlit.emitter import ChainlitEmitter
from chainlit.input_widget import InputWidget, Select, Slider, Switch, TextInput
from chainlit.session import WebsocketSession

from agent.agent import Agent
from agent.conversation import Conversation
from agent.model_list import ModelList
from agent.options import DEFAULTS, HOTTEST, Limits, Options, as_stored, read_options
from recording.reports import Reports

KEPT_AS = "chat_settings"
"""Where Chainlit keeps settings, in its session and in a thread's metadata."""
MODELS_OWN = "default"
"""The choice of no temperature: the endpoint then takes its own."""
TOOL = "tool "


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel is made from; the settings themselves are those of each conversation, shared by its tabs."""

    agent: Agent
    models: ModelList
    outbox: Reports | None

    async def settle(self, conversation: Conversation, session: WebsocketSession) -> None:
        """Give a conversation that was opened just now the settings that its thread is kept with.

        Chainlit has put them into the session of each tab that resumed the thread. What of them is not possible any
        more is as the app has it, and the person is told so.
        """
        if conversation.options is None:
            names = await self.models.names()
            stored = session.chat_settings if isinstance(session.chat_settings, dict) else {}
            conversation.options, problems = read_options(stored, self._limits(names, stored.get("model")))
            for problem in problems:
                await ChainlitEmitter(session).send_toast(problem, "warning")
        session.chat_settings = as_stored(conversation.options)

    async def show(self, conversation: Conversation, session: WebsocketSession) -> dict[str, Any]:
        """Show the panel in one tab; return its values as the page holds them."""
        await self.settle(conversation, session)
        widgets = self._widgets(conversation.options or DEFAULTS, await self.models.names())
        await ChainlitEmitter(session).emit(KEPT_AS, [widget.to_dict() for widget in widgets])
        return {widget.id: widget.initial for widget in widgets}

    async def change(self, conversation: Conversation, session: WebsocketSession, values: Mapping[str, Any]) -> None:
        """Take what a person has set, for the turns from now on, and show it in every tab of the thread."""
        before = conversation.options or DEFAULTS
        limits = self._limits(await self.models.names(), before.model)
        conversation.options, problems = read_options(self._read(values), limits)
        self.keep(conversation)
        for problem in problems:
            await ChainlitEmitter(session).send_toast(problem, "warning")
        for tab in _tabs(conversation, session):
            await self.show(conversation, tab)

    def keep(self, conversation: Conversation) -> None:
        """Keep the settings with the thread, if there is one already: a chat that was only opened is not recorded."""
        if self.outbox and conversation.recorded:
            kept = as_stored(conversation.options or DEFAULTS)
            self.outbox.put_thread(conversation.thread_id, metadata={KEPT_AS: kept or None})

    def _limits(self, names: list[str], own: Any) -> Limits:
        """Return the limits; where the endpoint does not say what it has, the thread's own model may well be there."""
        models = names if self.models.known else [*names, own]
        return Limits(models, self.agent.max_iterations, self.agent.toolbox.names())

    def _widgets(self, options: Options, names: list[str]) -> list[InputWidget]:
        own = self.models.default
        choices = names if options.model in (None, *names) else [*names, str(options.model)]
        heat = MODELS_OWN if options.temperature is None else f"{options.temperature:g}"
        degrees = [f"{tenth / 10:g}" for tenth in range(int(HOTTEST * 10) + 1)]
        degrees = degrees if heat in (MODELS_OWN, *degrees) else [*degrees, heat]
        most = self.agent.max_iterations
        widgets: list[InputWidget] = [
            Select(
                id="model",
                label="Model",
                items={f"{name} (default)" if name == own else name: name for name in choices},
                initial_value=options.model or own,
            ),
            Select(
                id="temperature",
                label="Temperature",
                items={"The model's own": MODELS_OWN, **{degree: degree for degree in degrees}},
                initial_value=heat,
            ),
            TextInput(
                id="system_prompt",
                label="System prompt",
                initial=options.system_prompt or "",
                placeholder=self.agent.system_prompt,
                multiline=True,
            ),
        ]
        if most > 1:
            calls = options.max_iterations or most
            widgets.append(
                Slider(id="max_iterations", label="Model calls in a turn", initial=calls, min=1, max=most, step=1)
            )
        return [*widgets, *self._switches(options)]

    def _switches(self, options: Options) -> Iterator[Switch]:
        for tool in self.agent.toolbox.tools():
            first_line = tool.description.partition("\n")[0]
            asks = " Asks you before each call." if tool.approval_seconds is not None else ""
            yield Switch(
                id=TOOL + tool.name,
                label=tool.name,
                initial=tool.name not in options.tools_off,
                description=first_line + asks,
            )

    def _read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the panel's values as options are stored; what is as the app has it is not set, so that it follows."""
        model, calls = values.get("model"), values.get("max_iterations")
        if isinstance(calls, float) and calls.is_integer():
            calls = int(calls)
        return {
            "model": None if model == self.models.default else model,
            "temperature": _degrees(values.get("temperature")),
            "system_prompt": values.get("system_prompt") or None,
            "max_iterations": None if calls == self.agent.max_iterations else calls,
            "tools_off": [name for name in self.agent.toolbox.names() if values.get(TOOL + name) is False],
        }


def _degrees(value: Any) -> Any:
    if value == MODELS_OWN:
        return None
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _tabs(conversation: Conversation, session: WebsocketSession) -> list[WebsocketSession]:
    """Return the session and those of all other tabs that show its thread."""
    screens = [screen for screen in conversation.listeners if getattr(screen, "alive", False)]
    others = [screen.session for screen in screens if getattr(screen, "session", session) is not session]  # type: ignore[attr-defined]
    return [session, *others]
