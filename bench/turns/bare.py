"""The turn by hand: the `openai` client and not a line more than it needs."""

import asyncio
import json
from typing import Any

from contest import MODEL, QUESTION, SYSTEM, Turn, compete, get_current_weather
from openai import AsyncOpenAI

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": get_current_weather.__doc__,
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string"}, "unit": {"type": "string"}},
                "required": ["location"],
            },
        },
    }
]


def make_turn(url: str) -> Turn:
    """Return the turn at an endpoint."""
    client = AsyncOpenAI(api_key="none", base_url=url)

    async def ask(messages: list[Any]) -> tuple[str, list[Any]]:
        text, calls = "", list[Any]()
        stream = await client.chat.completions.create(
            model=MODEL, messages=messages, tools=TOOLS, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            if not chunk.choices:
                continue
            delta: Any = chunk.choices[0].delta
            text += delta.content or ""
            for piece in delta.tool_calls or ():
                if piece.id:
                    function = {"name": piece.function.name, "arguments": ""}
                    calls.append({"id": piece.id, "type": "function", "function": function})
                calls[piece.index]["function"]["arguments"] += piece.function.arguments or ""
        return text, calls

    async def run(call: Any) -> dict[str, Any]:
        result = await get_current_weather(**json.loads(call["function"]["arguments"]))
        return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)}

    async def turn() -> str:
        messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        while True:
            text, calls = await ask(messages)
            if not calls:
                return text
            messages.append({"role": "assistant", "content": text or None, "tool_calls": calls})
            messages += await asyncio.gather(*map(run, calls))

    return turn


compete(make_turn)
