"""A chat tab without a browser: the socket that Chainlit's page speaks through, for tests about events."""

import asyncio
import uuid
from types import TracebackType
from typing import Any, Self

import aiohttp
import socketio

PATIENCE_SECONDS = 30.0


class ChatTab:
    """One tab of a signed-in browser. `events` holds all that arrived, as (name, data), oldest first.

    `login` is a name and a password; without it the browser of this machine signs in by itself.
    """

    def __init__(
        self, url: str, thread_id: str | None = None, login: tuple[str, str] | None = None, **headers: str
    ) -> None:
        self.url = url
        self.thread_id = thread_id
        self.session_id = str(uuid.uuid4())
        self._login = login
        self._opens_with = "resume_thread" if thread_id else "first_hook_done"
        self.events: list[tuple[str, Any]] = []
        self._headers = headers
        self._news = asyncio.Condition()
        self._hook_runs = False
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self._socket = socketio.AsyncClient(http_session=self._http, reconnection=False)
        self._socket.on("*", self._note)

    def expecting(self, event: str) -> Self:
        """Wait for this event when the tab opens, instead of what a thread opens with."""
        self._opens_with = event
        return self

    async def __aenter__(self) -> Self:
        form = {"username": self._login[0], "password": self._login[1]} if self._login else None
        path = "/login" if form else "/auth/header"
        async with self._http.post(f"{self.url}{path}", data=form) as response:
            assert response.status == 200, await response.text()
        try:
            await self._connect()
        except BaseException:
            await self._http.close()
            raise
        return self

    async def _connect(self) -> None:
        await self._open_socket()
        await self.heard(self._opens_with)
        resumed = next(
            (n for n, (name, _) in enumerate(self.events) if name.startswith("resume_thread")), len(self.events)
        )
        self.events[:] = self.events[resumed:]

    async def _open_socket(self) -> None:
        await self._be_let_in()
        await self._socket.emit("connection_successful")

    async def _be_let_in(self) -> None:
        auth = {"sessionId": self.session_id, "clientType": "webapp", "userEnv": "{}", "threadId": self.thread_id}
        await self._socket.connect(
            self.url,
            headers=self._headers,
            socketio_path="/ws/socket.io",
            transports=["websocket"],
            auth=auth,
            wait_timeout=PATIENCE_SECONDS,  # the app asks the record about the thread before it lets the tab in
        )

    async def lose_the_line(self) -> None:
        """Close the socket as a network does: the page stays, with its session and all that it shows."""
        await self._socket.disconnect()

    async def find_the_line(self) -> None:
        """Open the socket again for the same session, as the page does by itself."""
        await self._open_socket()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket.connected:
            await self._socket.disconnect()
        await self._http.close()

    async def send(self, text: str) -> str:
        """Ask a question without waiting for the answer; return the question's id."""
        question = str(uuid.uuid4())
        message = {"id": question, "name": "local", "type": "user_message", "output": text, "createdAt": ""}
        await self._socket.emit("client_message", {"message": message, "fileReferences": []})
        return question

    async def emit(self, event: str, data: Any) -> None:
        """Send any event, as a crafted client may."""
        await self._socket.emit(event, data)

    async def is_cut_off(self) -> None:
        """Wait until the app has closed the socket."""
        await asyncio.wait_for(self._socket.wait(), PATIENCE_SECONDS)

    async def stop(self) -> None:
        """Press the stop button."""
        await self._socket.emit("stop")

    async def edit(self, question: str, text: str) -> None:
        """Change a question and confirm it; the page cuts off by itself what comes after."""
        await self._socket.emit("edit_message", {"message": {"id": question, "output": text}})

    async def ask_again(self) -> int:
        """Press the button for another answer, wherever it stands now; return the answer's status."""
        body = {"sessionId": self.session_id, "action": self.buttons()[-1]}
        async with self._http.post(f"{self.url}/project/action", json=body) as response:
            return response.status

    def buttons(self) -> list[dict[str, Any]]:
        """Return the buttons below messages that the tab shows now."""
        shown: list[dict[str, Any]] = []
        for name, data in self.events:
            if name == "action":
                shown.append(data)
            elif name == "remove_action":
                shown = [button for button in shown if button["id"] != data["id"]]
        return shown

    def waits(self) -> bool:
        """Tell whether the tab shows a stop button: something is under way."""
        return [name for name, _ in self.events if name in ("task_start", "task_end")][-1:] == ["task_start"]

    async def ask(self, text: str) -> str:
        """Ask a question, wait until the turn is over, and return the last assistant message."""
        already = len(self.events)
        await self.send(text)
        await self.heard("task_end", after=already)
        return self.messages()[-1]

    async def heard(self, name: str, after: int = 0, times: int = 1) -> Any:
        """Wait until an event of this name has come (again), and return its data."""

        def found() -> list[Any]:
            return [data for event, data in self.events[after:] if event == name]

        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: len(found()) >= times), PATIENCE_SECONDS)
        return found()[times - 1]

    async def shown(self, fact: Any) -> None:
        """Wait until `fact(steps)` holds, where steps is what `steps()` returns."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: fact(self.steps())), PATIENCE_SECONDS)

    def steps(self) -> list[dict[str, Any]]:
        """Return what the tab shows, oldest first: every step in its latest form."""
        shown: dict[str, dict[str, Any]] = {}
        for name, data in self.events:
            if name == "resume_thread":
                shown = {step["id"]: dict(step) for step in data["steps"]}
            elif name in ("new_message", "update_message", "stream_start"):
                if name != "update_message" or data["id"] in shown:
                    shown[data["id"]] = shown.get(data["id"], {}) | data
            elif name == "stream_token" and data["id"] in shown:
                shown[data["id"]]["output"] += data["token"]
            elif name == "delete_message":
                shown = _without(shown, data["id"])
        return list(shown.values())

    def messages(self) -> list[str]:
        """Return the texts of the assistant's messages, oldest first."""
        return [step["output"] for step in self.steps() if step["type"] == "assistant_message"]

    async def thread(self) -> str:
        """Return the id of the thread that the first question opened."""
        return str((await self.heard("first_interaction"))["thread_id"])

    async def _note(self, event: str, *data: Any) -> None:
        async with self._news:
            self.events.append((event, data[0] if data else None))
            if event == "update_message" and data[0]["name"] == "on_chat_start":  # in an app of Chainlit's own make
                self._hook_runs = True
            elif event == "chat_settings" or (event == "task_end" and self._hook_runs):
                self._hook_runs = False
                self.events.append(("first_hook_done", None))
            self._news.notify_all()


def _without(shown: dict[str, dict[str, Any]], step_id: str) -> dict[str, dict[str, Any]]:
    """Return the steps without one and all that is below it, as the page drops them."""
    gone = {step_id}
    for step in shown.values():
        if step.get("parentId") in gone:
            gone.add(step["id"])
    return {key: step for key, step in shown.items() if key not in gone}
