"""An ordinary Chainlit app, as its manual shows them, with the model and the tool that ours has in the same bench.

It shows the same steps: each model call, each tool call, and the answer as it comes. Where it keeps them is settled by
the environment: nowhere, in a SQLite file (`STOCK_SQLITE`), or at a Literal server (`LITERAL_API_KEY`, Chainlit's own).
"""

import asyncio
import json
import os
import sqlite3
from typing import Any

import chainlit as cl
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer

from agent.offline import OFFLINE_MODEL, offline_client
from agent.toolbox import Toolbox
from tools import ToolSettings, build_tools

SYSTEM = "You are a helpful assistant. Use the tools you are given whenever they can answer better than you."
TABLES = """
CREATE TABLE IF NOT EXISTS users ("id" TEXT PRIMARY KEY, "identifier" TEXT NOT NULL UNIQUE, "metadata" TEXT NOT NULL,
    "createdAt" TEXT);
CREATE TABLE IF NOT EXISTS threads ("id" TEXT PRIMARY KEY, "createdAt" TEXT, "name" TEXT, "userId" TEXT,
    "userIdentifier" TEXT, "tags" TEXT, "metadata" TEXT);
CREATE TABLE IF NOT EXISTS steps ("id" TEXT PRIMARY KEY, "name" TEXT NOT NULL, "type" TEXT NOT NULL,
    "threadId" TEXT NOT NULL, "parentId" TEXT, "streaming" BOOLEAN NOT NULL, "waitForAnswer" BOOLEAN,
    "isError" BOOLEAN, "metadata" TEXT, "tags" TEXT, "input" TEXT, "output" TEXT, "createdAt" TEXT, "command" TEXT,
    "start" TEXT, "end" TEXT, "generation" TEXT, "showInput" TEXT, "language" TEXT, "indent" INT,
    "defaultOpen" BOOLEAN, "autoCollapse" BOOLEAN, "modes" TEXT, "icon" TEXT);
CREATE TABLE IF NOT EXISTS elements ("id" TEXT PRIMARY KEY, "threadId" TEXT, "type" TEXT, "url" TEXT,
    "chainlitKey" TEXT, "name" TEXT NOT NULL, "display" TEXT, "objectKey" TEXT, "size" TEXT, "page" INT,
    "language" TEXT, "forId" TEXT, "mime" TEXT, "props" TEXT);
CREATE TABLE IF NOT EXISTS feedbacks ("id" TEXT PRIMARY KEY, "forId" TEXT NOT NULL, "threadId" TEXT,
    "value" INT NOT NULL, "comment" TEXT);
"""

client = offline_client(
    first_token_delay=float(os.environ["OFFLINE_FIRST_TOKEN_SECONDS"]),
    token_delay=float(os.environ["OFFLINE_TOKEN_SECONDS"]),
)
toolbox = Toolbox(build_tools(ToolSettings(weather_sample=True)))

if file := os.environ.get("STOCK_SQLITE"):
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(TABLES)

    @cl.data_layer
    def data_layer() -> SQLAlchemyDataLayer:
        """Return Chainlit's layer over that file."""
        return SQLAlchemyDataLayer(f"sqlite+aiosqlite:///{file}")


@cl.header_auth_callback
async def sign_in(_headers: Any) -> cl.User:
    """Let everybody in, under one name."""
    return cl.User(identifier="local")


@cl.on_chat_start
async def begin() -> None:
    """Begin a conversation."""
    cl.user_session.set("messages", [{"role": "system", "content": SYSTEM}])


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Ask the model, run the tools it calls side by side, until it answers."""
    messages = cl.user_session.get("messages")
    messages.append({"role": "user", "content": message.content})
    while calls := await ask(messages):
        results = await asyncio.gather(*(run(call) for call in calls))
        messages += results


async def ask(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make one model call, show what it says, and return the tool calls that it asks for."""
    shown = cl.Message("")
    calls: list[dict[str, Any]] = []
    async with cl.Step(name=OFFLINE_MODEL, type="llm") as step:
        step.input = {"messages": messages}
        create: Any = client.chat.completions.create
        usage = {"include_usage": True}
        stream = await create(
            model=OFFLINE_MODEL, messages=messages, tools=toolbox.schemas(), stream=True, stream_options=usage
        )
        async for chunk in stream:
            delta = chunk.choices[0].delta if chunk.choices else None
            if delta and delta.content:
                await shown.stream_token(delta.content)
            for piece in (delta and delta.tool_calls) or ():
                if piece.index == len(calls):
                    calls.append({"id": piece.id, "type": "function", "function": {"name": "", "arguments": ""}})
                calls[piece.index]["function"]["name"] += piece.function.name or ""
                calls[piece.index]["function"]["arguments"] += piece.function.arguments or ""
        said = {"role": "assistant", "content": shown.content or None} | ({"tool_calls": calls} if calls else {})
        step.output = said
    messages.append(said)
    if shown.content:
        await shown.send()
    return calls


async def run(call: dict[str, Any]) -> dict[str, Any]:
    """Run one tool call as a step."""
    async with cl.Step(name=call["function"]["name"], type="tool") as step:
        request = toolbox.read(call["function"]["name"], call["function"]["arguments"])
        step.input = request.arguments
        result = await toolbox.run(request, toolbox.output(lambda _: None))
        step.output = json.loads(result.content)
    return {"role": "tool", "tool_call_id": call["id"], "content": result.content}
