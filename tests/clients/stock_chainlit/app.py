"""An ordinary Chainlit app, as its manual shows them: it knows nothing of this project."""

import chainlit as cl
from chainlit.types import ThreadDict


@cl.password_auth_callback
async def sign_in(username: str, password: str) -> cl.User | None:
    """Let in whoever knows the word."""
    if password != "open sesame":
        return None
    return cl.User(identifier=username, metadata={"role": "tester"})


@cl.on_chat_start
async def welcome() -> None:
    """Greet before anything was asked."""
    await cl.Message("Welcome").send()


@cl.on_chat_resume
async def resume(_thread: ThreadDict) -> None:
    """Having this hook is what lets old chats be opened again."""


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Answer with a tool inside a tool, and a file."""
    async with cl.Step(name="look up", type="tool") as step:
        step.input = message.content
        async with cl.Step(name="read the table", type="retrieval") as inside:
            inside.input = {"row": 1}
            inside.output = "two metres"
        step.output = "found"
    if "fail" in message.content:
        async with cl.Step(name="broken", type="tool") as broken:
            broken.is_error = True
            broken.output = "out of paper"
    notes = cl.Text(name="notes", content=f"notes on {message.content}", display="inline")
    table = cl.File(name="table.csv", content=b"a,b\n1,2\n", mime="text/csv", display="inline")
    answer = cl.Message(f"You asked: {message.content}", elements=[notes, table])
    await answer.send()
    if "edit" in message.content:
        answer.content = "A better answer"
        await answer.update()
