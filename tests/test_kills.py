"""Kills for real, at random moments of many turns: what was answered is recorded whole, what was cut off says so.

In the end every thread's certificate says that nothing is missing.

A handful by default; `make test-kills` is the long run (TEST_KILLS=1000). A failure names its seed (TEST_SEED).
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import socketio
from literalai.api import LiteralAPI
from literalai.observability.thread import Thread

from recording.history import apart
from recording.outbox_store import FILE_NAME
from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.preloaded import Preloaded
from tests.server_process import KEY, Relay, ServerProcess

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("TEST_KILLS", "3"))
SEED = int(os.environ.get("TEST_SEED", "0")) or random.SystemRandom().randint(1, 10**9)
TURNS_A_ROUND = 10
TABS_A_ROUND = 2
LONGEST_ROUND_SECONDS = 1.2
QUESTIONS = ("What's the weather in San Francisco and Paris?", "What is 2 + 3?", "Hello!")
QUICK = {"OFFLINE_FIRST_TOKEN_SECONDS": "0.03", "OFFLINE_TOKEN_SECONDS": "0.01"}
ENDS = {"answered", "limit", "failed", "cancelled", "interrupted"}


@dataclass
class Ledger:
    """What those who asked know: the threads they used, the answers they got, the steps they saw."""

    asked: set[str] = field(default_factory=set)
    answered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)


async def post(app: AppProcess, chance: random.Random, ledger: Ledger) -> None:
    """Ask over HTTP in a thread of its own, and note the answer if one comes."""
    thread_id = str(uuid.UUID(int=chance.getrandbits(128)))
    ledger.asked.add(thread_id)
    question = {"role": "user", "content": chance.choice(QUESTIONS)}
    body = {"message_history": [question], "thread_id": thread_id}
    try:
        async with httpx.AsyncClient(timeout=60) as http:
            response = await http.post(f"{app.url}/process/", json=body)
    except httpx.TransportError:
        return
    assert response.status_code == 200, response.text
    ledger.answered[thread_id] = response.json()["message_history"][1:]


async def chat(app: AppProcess, chance: random.Random, ledger: Ledger, connected: asyncio.Event) -> None:
    """Ask in a chat tab, and note which steps of the answer it has shown when the answer or the connection ends."""
    tab, gone = ChatTab(app.url), asyncio.Event()
    tab._socket.on("disconnect", lambda *_reason: gone.set())
    try:
        async with tab:
            connected.set()
            ends = [asyncio.create_task(tab.ask(chance.choice(QUESTIONS))), asyncio.create_task(gone.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
    except (aiohttp.ClientError, socketio.exceptions.SocketIOError, TimeoutError, OSError):
        pass  # the app was killed before
    finally:
        connected.set()
        await tab._http.close()
    for step in tab.steps():
        if step["type"] in ("tool", "llm"):
            ledger.seen.setdefault(step["threadId"], set()).add(step["id"])


async def one_round(app: AppProcess, chance: random.Random, ledger: Ledger) -> list["asyncio.Task[None]"]:
    """Let many ask at once, and come back at a random moment after the first turn has begun."""
    connected = [asyncio.Event() for _ in range(TABS_A_ROUND)]
    asking = [asyncio.create_task(chat(app, chance, ledger, event)) for event in connected]
    await asyncio.gather(*(event.wait() for event in connected))
    asking += [asyncio.create_task(post(app, chance, ledger)) for _ in range(TURNS_A_ROUND)]
    await asyncio.to_thread(wait_until, lambda: begun(app), 60, lambda: f"No turn begins:\n{app.text()[-3000:]}")
    await asyncio.sleep(chance.uniform(0, LONGEST_ROUND_SECONDS))
    return asking


def begun(app: AppProcess) -> int:
    """Return how many steps the app's outbox knows as begun."""
    with contextlib.closing(sqlite3.connect(f"file:{app.data / FILE_NAME}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM begun").fetchone()[0])


def health(app: AppProcess) -> dict[str, Any]:
    """Return how recording fares."""
    recording: dict[str, Any] = httpx.get(f"{app.url}/health", timeout=10).json()["recording"]
    return recording


def all_sent(app: AppProcess) -> None:
    """Wait until the server has all that was recorded, and that nothing was refused."""
    wait_until(lambda: health(app)["waiting"] == 0, 120, lambda: f"seed {SEED}: {health(app)}\n{app.text()[-3000:]}")
    figures = health(app)
    assert (figures["set_aside"], figures["refused"]) == (0, 0), f"seed {SEED}: {app.text()[-3000:]}"


def check(api: LiteralAPI, ledger: Ledger) -> dict[str, int]:
    """Check each thread of the ledger against the record, and count how the turns ended."""
    counts = dict.fromkeys(ENDS, 0) | {"not begun": 0}
    for thread_id in sorted(ledger.asked | ledger.seen.keys()):
        thread = api.get_thread(thread_id) or api.get_thread(apart("local", thread_id))  # while the server was away
        about = f"seed {SEED}, thread {thread_id}"
        if thread is None or not thread.steps:
            assert thread_id not in ledger.answered, about
            assert not ledger.seen.get(thread_id), about
            counts["not begun"] += 1
            continue
        counts[check_thread(thread_id, thread, ledger, about)] += 1
        check_certificate(api, thread.id, about)
    return counts


def check_certificate(api: LiteralAPI, thread_id: str, about: str) -> None:
    """Check that the server itself knows that all has arrived which any writer has put in the thread."""
    address = f"{api.url}/api/verbatim/threads/{thread_id}/certificate"
    certificate = httpx.get(address, headers={"x-api-key": api.api_key or ""}, timeout=30).json()
    assert (certificate["state"], certificate["unstampedSteps"]) == ("complete", 0), f"{about}: {certificate}"


def check_thread(asked: str, thread: Thread, ledger: Ledger, about: str) -> str:
    """Check one thread: one run, ended, nothing open, and what was answered or seen stands there whole."""
    steps = thread.steps or []
    runs = [step for step in steps if step.type == "run"]
    assert len(runs) == 1, about
    assert [step.name for step in steps if not step.end_time] == [], about
    assert ledger.seen.get(asked, set()) <= {step.id for step in steps}, about
    outcome = str((runs[0].metadata or {}).get("outcome"))
    assert outcome in ENDS, about
    told = ledger.answered.get(asked)
    if told is None:
        return outcome
    assert outcome == "answered", about
    assert (runs[0].output or {})["messages"] == told, about
    shown = [step.output["content"] for step in steps if step.type == "assistant_message" and step.output]
    assert shown == [message["content"] for message in told if message["role"] == "assistant" and message["content"]]
    kinds = [step.type for step in steps if step.type in ("llm", "tool")]
    results = [message for message in told if message["role"] == "tool"]
    assert (kinds.count("llm"), kinds.count("tool")) == (len(told) - len(results), len(results)), about
    return outcome


def note(what: str, kills: dict[str, int], counts: dict[str, int], began: float, **more: int) -> None:
    """Print the figures of a run, which stand in a long run's log."""
    seconds = round(time.monotonic() - began)
    print(json.dumps({"test": what, "seed": SEED, "kills": kills, "turns": counts, "seconds": seconds, **more}))


async def test_app_and_server_are_killed_and_the_network_is_cut(tmp_path: Path, preloaded: Preloaded) -> None:
    """App, server or both end by SIGKILL at random moments, connections are cut: nothing is lost or stored twice."""
    chance, ledger, began = random.Random(SEED), Ledger(), time.monotonic()  # noqa: S311 - to be repeated
    server = ServerProcess(tmp_path / "server", preloaded.launch)
    await asyncio.to_thread(server.start)
    relay = await Relay(server.port, chance).start()
    settings = {"LITERAL_API_URL": relay.url, "LITERAL_API_KEY": KEY, **QUICK}
    app = AppProcess(tmp_path / "app", settings=settings, launch=preloaded.launch)
    await asyncio.to_thread(app.start)
    kills = {"app": 0, "server": 0, "both": 0}
    try:
        for number in range(KILLS):
            target = list(kills)[number] if number < len(kills) else chance.choice(list(kills))
            relay.cutting = chance.random() < 0.5 or number == 0
            asking = await one_round(app, chance, ledger)
            victims = [one for one, names in ((app, ("app", "both")), (server, ("server", "both"))) if target in names]
            for victim in victims:
                await asyncio.to_thread(victim.stop, signal.SIGKILL)
            kills[target] += 1
            if target == "server":  # the turns end while it is away
                await asyncio.gather(*asking)
            for victim in reversed(victims):
                await asyncio.to_thread(victim.start)
            await asyncio.gather(*asking)
        relay.cutting = False
        await asyncio.to_thread(all_sent, app)
        counts = await asyncio.to_thread(check, LiteralAPI(api_key=KEY, url=server.url), ledger)
    finally:
        relay.close()
        await asyncio.to_thread(app.stop)
        await asyncio.to_thread(server.stop)

    note("separate server", kills, counts, began, cuts=relay.cuts)
    assert counts["answered"] > 0
    assert counts["failed"] == counts["cancelled"] == 0


async def test_the_app_with_its_own_server_is_killed(tmp_path: Path, preloaded: Preloaded) -> None:
    """The same with the server inside the app: both die at once, and both come back."""
    chance, ledger, began = random.Random(SEED + 1), Ledger(), time.monotonic()  # noqa: S311 - to be repeated
    app = AppProcess(tmp_path / "app", settings=QUICK, launch=preloaded.launch)
    await asyncio.to_thread(app.start)
    try:
        for _ in range(max(1, KILLS // 3)):
            asking = await one_round(app, chance, ledger)
            await asyncio.to_thread(app.stop, signal.SIGKILL)
            await asyncio.to_thread(app.start)
            await asyncio.gather(*asking)
        await asyncio.to_thread(all_sent, app)
        key = (app.data / "literal-api-key").read_text().strip()
        counts = await asyncio.to_thread(check, LiteralAPI(api_key=key, url=f"{app.url}/literal"), ledger)
    finally:
        await asyncio.to_thread(app.stop)

    note("embedded server", {"app": max(1, KILLS // 3)}, counts, began)
    assert counts["failed"] == counts["cancelled"] == 0
