"""Options of a thread: what is taken of what a browser or the record says, and what they change in a turn."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.agent import Agent
from agent.conversation import Conversation
from agent.events import Event, Message, ModelStarted
from agent.offline_replies import Answer, Call
from agent.options import DEFAULTS, MAX_PROMPT_CHARACTERS, Limits, Options, as_stored, read_options
from tests.agent.turns import of, scripted, toolbox_of

LIMITS = Limits(models=["small", "large"], max_iterations=5, tools=["look", "listen"])
FULL = Options(
    model="large", temperature=0.5, system_prompt="Rhyme.", max_iterations=2, tools_off=frozenset({"listen"})
)


@pytest.mark.parametrize("options", [DEFAULTS, FULL])
def test_options_come_back_as_they_were_stored(options: Options) -> None:
    """Written as JSON and read again they are the same, with no complaint."""
    assert read_options(json.loads(json.dumps(as_stored(options))), LIMITS) == (options, [])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "unlisted"}, "does not list the model unlisted"),
        ({"model": ["large"]}, "model of this name"),
        ({"temperature": 2.1}, "from 0 to 2"),
        ({"temperature": -0.1}, "from 0 to 2"),
        ({"temperature": float("nan")}, "from 0 to 2"),
        ({"temperature": True}, "from 0 to 2"),
        ({"system_prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "20,000 characters"),
        ({"system_prompt": {"role": "system"}}, "20,000 characters"),
        ({"max_iterations": 0}, "from 1 to 5"),
        ({"max_iterations": 6}, "from 1 to 5"),
        ({"max_iterations": True}, "from 1 to 5"),
        ({"max_iterations": 2.0}, "from 1 to 5"),
    ],
)
def test_what_is_not_allowed_is_left_out_with_a_word(values: dict[str, Any], words: str) -> None:
    """A value beyond the limits is as the app has it, and the person is told; the others are taken."""
    options, problems = read_options(values | {"tools_off": ["look", "unknown", 7]}, LIMITS)

    assert options == Options(tools_off=frozenset({"look"}))
    [problem] = problems
    assert words in problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*as_stored(DEFAULTS), "other"]), JSON))
def test_nothing_that_is_stored_can_break_a_thread(values: dict[str, Any]) -> None:
    """Whatever the record or a browser says, the options that come of it are within the limits and can be stored."""
    options, _ = read_options(values, LIMITS)

    assert read_options(json.loads(json.dumps(as_stored(options))), LIMITS) == (options, [])


class Played:
    """One turn of an agent with these options: what its model calls were told."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.calls: list[ModelStarted] = []

    async def ask(self, options: Options, history: list[Message]) -> "Played":
        async def listen(_: object, event: object) -> None:
            if isinstance(event, Event):
                self.calls += of([event], ModelStarted)

        conversation = Conversation("t", "u")
        question = {"role": "user", "content": "Look."}
        turn = await conversation.ask(
            question, self.agent.answer, listen, client="chat", history=history, options=options
        )
        await turn.finished
        return self


def look() -> str:
    """Look."""
    return "nothing"


def listen() -> str:
    """Listen."""
    return "silence"


def agent_of(*replies: Any) -> Agent:
    return Agent(scripted(*replies), toolbox_of(look, listen), "Be kind.", max_iterations=3)


@pytest.mark.anyio
async def test_without_options_a_turn_is_as_the_app_has_it() -> None:
    """The app's model, prompt and tools, and no temperature but the endpoint's own."""
    agent = agent_of(Answer("Hello."))

    [call] = (await Played(agent).ask(DEFAULTS, [])).calls

    assert call.model == agent.model.name
    assert "temperature" not in call.settings
    assert call.messages[0] == {"role": "system", "content": "Be kind."}
    assert [tool["function"]["name"] for tool in call.tools] == ["look", "listen"]


@pytest.mark.anyio
async def test_options_change_the_turn_and_nothing_else() -> None:
    """Model, temperature, prompt, tools and limit are those of the options; the next turn without is as before."""
    agent = agent_of(Answer(calls=[Call("look", {})]), Answer("Nothing."), Answer("Hello."))
    options = Options(
        model="large", temperature=0, system_prompt="Rhyme.", max_iterations=2, tools_off=frozenset({"listen"})
    )

    first, last = (await Played(agent).ask(options, [])).calls
    [later] = (await Played(agent).ask(DEFAULTS, [])).calls

    assert (first.model, first.settings["temperature"]) == ("large", 0)
    assert first.messages[0] == {"role": "system", "content": "Rhyme."}
    assert [tool["function"]["name"] for tool in first.tools] == ["look"]
    assert (first.settings["tool_choice"], last.settings["tool_choice"]) == ("auto", "none")
    assert (later.model, later.messages[0]["content"], len(later.tools)) == (agent.model.name, "Be kind.", 2)
    assert "temperature" not in later.settings


@pytest.mark.anyio
async def test_options_cannot_raise_the_apps_own_limit() -> None:
    """However many calls are asked for, no turn makes more than the app allows."""
    played = await Played(agent_of(*[Answer(calls=[Call("look", {})])] * 5)).ask(Options(max_iterations=99), [])

    assert len(played.calls) == 3


@pytest.mark.anyio
async def test_a_history_with_instructions_gets_no_others() -> None:
    """An HTTP client's own system message stands alone."""
    history = [{"role": "system", "content": "Be brief."}]

    [call] = (await Played(agent_of(Answer("Hi."))).ask(Options(system_prompt="Rhyme."), history)).calls

    assert [message["content"] for message in call.messages] == ["Be brief.", "Look."]
