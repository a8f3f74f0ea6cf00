"""Kills for real, at random moments of many turns: what was answered is recorded whole, what was cut off says so.

In the end every thread's certificate says that nothing is missing.

A handful by default; `make test-kills` is the long run (TEST_KILLS=1000), which tortures several apps at once
(TEST_JOBS=4), each by a seed of its own. A failure names the seed: TEST_SEED=n TEST_JOBS=1 does the same again.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import socketio
from literalai.observability.thread import Thread

from recording.client import LiteralAPI
from recording.history import apart
from recording.outbox_store import FILE_NAME
from tests.app_process import AppProcess, Launch, wait_until
from tests.chat_client import ChatTab
from tests.preloaded import Preloaded
from tests.server_process import KEY, Relay, ServerProcess

pytestmark = pytest.mark.anyio

KILLS = int(os.environ.get("TEST_KILLS", "7"))
JOBS = int(os.environ.get("TEST_JOBS", "1"))
EMBEDDED = max(3, KILLS // 3)  # of the kills, those of an app with the server that it brings along
SEED = int(os.environ.get("TEST_SEED", "0")) or random.SystemRandom().randint(1, 10**9)
TURNS_A_ROUND = 10
TABS_A_ROUND = 2
LONGEST_ROUND_SECONDS = 1.0
ROUNDS_WITH_AN_ANSWER = 0.3  # else a slow machine would cut every turn off
QUESTIONS = ("What's the weather in San Francisco and Paris?", "What is 2 + 3?", "Hello!")
QUICK = {"OFFLINE_FIRST_TOKEN_SECONDS": "0.03", "OFFLINE_TOKEN_SECONDS": "0.01"}
TARGETS = ("app", "server", "both", "record")  # the last is the process beside the app that keeps its record
EMBEDDED_TARGETS = ("app", "record", "all")  # the last as when a container is killed
ENDS = {"answered", "limit", "failed", "cancelled", "interrupted"}


@dataclass
class Ledger:
    """What those who asked one app know: the threads they used, the answers they got, the steps they saw.

    All that happens by chance comes from `chance`, which is `seed`'s. `http` opens a connection for each request.
    """

    seed: int
    http: httpx.AsyncClient
    kills: Counter[str] = field(default_factory=Counter)
    asked: set[str] = field(default_factory=set)
    answered: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - to be repeated


@dataclass
class Figures:
    """What a run of kills has come to; that of several is their sum."""

    kills: Counter[str]
    turns: Counter[str]
    cuts: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(self.kills + other.kills, self.turns + other.turns, self.cuts + other.cuts)


Job = Callable[[Ledger, Path, int], Awaitable[Figures]]


async def post(app: AppProcess, ledger: Ledger) -> None:
    """Ask over HTTP in a thread of its own, and note the answer if one comes."""
    thread_id = str(uuid.UUID(int=ledger.chance.getrandbits(128)))
    ledger.asked.add(thread_id)
    question = {"role": "user", "content": ledger.chance.choice(QUESTIONS)}
    body = {"message_history": [question], "thread_id": thread_id}
    try:
        response = await ledger.http.post(f"{app.url}/process/", json=body)
    except httpx.TransportError:
        return
    assert response.status_code == 200, response.text
    ledger.answered[thread_id] = response.json()["message_history"][1:]


async def chat(app: AppProcess, ledger: Ledger, connected: asyncio.Event) -> None:
    """Ask in a chat tab, and note which steps of the answer it has shown when the answer or the connection ends."""
    tab, gone = ChatTab(app.url), asyncio.Event()
    tab._socket.on("disconnect", lambda *_reason: gone.set())
    try:
        async with tab:
            connected.set()
            ends = [asyncio.create_task(tab.ask(ledger.chance.choice(QUESTIONS))), asyncio.create_task(gone.wait())]
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


async def one_round(app: AppProcess, ledger: Ledger) -> list["asyncio.Task[None]"]:
    """Let many ask at once, and come back at a random moment after the first turn has begun, or after one has ended."""
    connected = [asyncio.Event() for _ in range(TABS_A_ROUND)]
    asking = [asyncio.create_task(chat(app, ledger, event)) for event in connected]
    await asyncio.gather(*(event.wait() for event in connected))
    asking += [asyncio.create_task(post(app, ledger)) for _ in range(TURNS_A_ROUND)]
    await asyncio.to_thread(wait_until, lambda: begun(app), 60, lambda: f"No turn begins:\n{app.text()[-3000:]}")
    if ledger.chance.random() < ROUNDS_WITH_AN_ANSWER:
        await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(ledger.chance.uniform(0, LONGEST_ROUND_SECONDS))
    return asking


def begun(app: AppProcess) -> int:
    """Return how many steps the app's outbox knows as begun."""
    with contextlib.closing(sqlite3.connect(f"file:{app.data / FILE_NAME}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM begun").fetchone()[0])


def kill_record(app: AppProcess) -> None:
    """Kill the process that keeps the app's record, or the one that is just being started in its place."""
    wait_until(lambda: len(app.record_pids) == 2, 30, app.text)
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(app.record_pids[1], signal.SIGKILL)


def health(app: AppProcess) -> dict[str, Any]:
    """Return how recording fares."""
    recording: dict[str, Any] = httpx.get(f"{app.url}/health", timeout=10).json()["recording"]
    return recording


def all_sent(app: AppProcess) -> None:
    """Wait until the server has all that was recorded, and that nothing was refused."""

    def done() -> bool:
        figures = health(app)
        return figures["waiting"] == 0 and not figures["away"]

    wait_until(done, 120, lambda: f"{health(app)}\n{app.text()[-3000:]}")
    figures = health(app)
    assert (figures["set_aside"], figures["refused"]) == (0, 0), app.text()[-3000:]


async def check(url: str, key: str, ledger: Ledger) -> Counter[str]:
    """Check each thread of the ledger against the record, and count how the turns ended."""
    counts = Counter(dict.fromkeys(ENDS, 0))
    api = LiteralAPI(url, key)
    for thread_id in sorted(ledger.asked | ledger.seen.keys()):
        # A turn whose thread could not be looked up, with the server away, was recorded in one of its own.
        thread = await api.get_thread(thread_id) or await api.get_thread(apart("local", thread_id))
        if thread is None or not thread.steps:
            assert thread_id not in ledger.answered, thread_id
            assert not ledger.seen.get(thread_id), thread_id
            counts["not begun"] += 1
            continue
        counts[check_thread(thread_id, thread, ledger)] += 1
        await check_certificate(ledger.http, url, key, thread.id)
    await api.close()
    return counts


async def check_certificate(http: httpx.AsyncClient, url: str, key: str, thread_id: str) -> None:
    """Check that the server itself knows that all has arrived which any writer has put in the thread."""
    address = f"{url}/api/verbatim/threads/{thread_id}/certificate"
    certificate = (await http.get(address, headers={"x-api-key": key})).json()
    assert (certificate["state"], certificate["unstampedSteps"]) == ("complete", 0), f"{thread_id}: {certificate}"


def check_thread(asked: str, thread: Thread, ledger: Ledger) -> str:
    """Check one thread: one run, ended, nothing open, and what was answered or seen stands there whole."""
    steps = thread.steps or []
    runs = [step for step in steps if step.type == "run"]
    assert len(runs) == 1, asked
    assert [step.name for step in steps if not step.end_time] == [], asked
    assert ledger.seen.get(asked, set()) <= {step.id for step in steps}, asked
    outcome = str((runs[0].metadata or {}).get("outcome"))
    assert outcome in ENDS, asked
    told = ledger.answered.get(asked)
    if told is None:
        return outcome
    assert outcome == "answered", asked
    assert (runs[0].output or {})["messages"] == told, asked
    shown = [step.output["content"] for step in steps if step.type == "assistant_message" and step.output]
    assert shown == [message["content"] for message in told if message["role"] == "assistant" and message["content"]]
    kinds = [step.type for step in steps if step.type in ("llm", "tool")]
    results = [message for message in told if message["role"] == "tool"]
    assert (kinds.count("llm"), kinds.count("tool")) == (len(told) - len(results), len(results)), asked
    return outcome


async def at_once(job: Job, folder: Path, kills: int) -> Figures:
    """Do a job with several apps at once, each in a folder of its own and by a seed of its own; sum up the figures."""

    async def one(number: int) -> Figures:
        seed, share = SEED + number, kills // JOBS + (number < kills % JOBS)
        (folder / str(number)).mkdir()
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_keepalive_connections=0)) as http:
            try:
                return await job(Ledger(seed, http), folder / str(number), share)
            except BaseException as error:
                error.add_note(f"TEST_SEED={seed} TEST_JOBS=1, and {share} kills of this kind, do the same again")
                traceback.print_exception(error)  # at once: the other jobs may take an hour
                raise

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one(number)) for number in range(min(JOBS, kills))]
    return sum((task.result() for task in running), Figures(Counter(), Counter()))


def note(what: str, figures: Figures, began: float) -> None:
    """Print the figures of a run, which stand in a long run's log."""
    seconds = round(time.monotonic() - began)
    found = {"kills": dict(figures.kills), "cuts": figures.cuts, "turns": dict(figures.turns), "seconds": seconds}
    print(json.dumps({"test": what, "seed": SEED, "jobs": JOBS, **found}))


@pytest.fixture(scope="module")
def sums() -> Iterator[list[Figures]]:
    """The figures of this run, which are printed as one line in the end."""
    figures, began = list[Figures](), time.monotonic()
    yield figures
    note("all", sum(figures, Figures(Counter(), Counter())), began)


async def killed_with_a_server(ledger: Ledger, folder: Path, kills: int, launch: Launch) -> Figures:
    """Kill an app, its server or both again and again, and check then what is recorded."""
    chance = ledger.chance
    server = ServerProcess(folder / "server", launch)
    await asyncio.to_thread(server.start)
    relay = await Relay(server.port, chance).start()
    settings = {"LITERAL_API_URL": relay.url, "LITERAL_API_KEY": KEY, **QUICK}
    app = AppProcess(folder / "app", settings=settings, launch=launch)
    await asyncio.to_thread(app.start)
    try:
        for number in range(kills):
            target = TARGETS[number] if number < len(TARGETS) else chance.choice(TARGETS)
            relay.cutting = chance.random() < 0.5 or number == 0
            asking = await one_round(app, ledger)
            victims = [one for one, names in ((app, ("app", "both")), (server, ("server", "both"))) if target in names]
            for victim in victims:
                await asyncio.to_thread(victim.stop, signal.SIGKILL)
            if target == "record":
                await asyncio.to_thread(kill_record, app)
            ledger.kills[target] += 1
            if target == "server":  # the turns end while it is away
                await asyncio.gather(*asking)
            for victim in reversed(victims):
                await asyncio.to_thread(victim.start)
            await asyncio.gather(*asking)
        relay.cutting = False
        await asyncio.to_thread(all_sent, app)
        return Figures(ledger.kills, await check(server.url, KEY, ledger), relay.cuts)
    finally:
        relay.close()
        await asyncio.to_thread(app.stop)
        await asyncio.to_thread(server.stop)


async def killed_as_one(ledger: Ledger, folder: Path, kills: int, launch: Launch) -> Figures:
    """The same with the server that the app brings along: the app dies, that process beside it, or all at once."""
    settings = QUICK | {"FLUSH_EACH_EVENT": ledger.chance.choice(("on", "off"))}
    app = AppProcess(folder / "app", settings=settings, launch=launch)
    await asyncio.to_thread(app.start)
    try:
        for number in range(kills):
            targets = EMBEDDED_TARGETS
            target = targets[number] if number < len(targets) else ledger.chance.choice(targets)
            asking = await one_round(app, ledger)
            if target == "record":
                await asyncio.to_thread(kill_record, app)
            else:
                for pid in app.record_pids if target == "all" else ():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.to_thread(app.stop, signal.SIGKILL)
                await asyncio.to_thread(app.start)
            ledger.kills[f"embedded {target}"] += 1
            await asyncio.gather(*asking)
        await asyncio.to_thread(all_sent, app)
        key = (app.data / "literal-api-key").read_text().strip()
        return Figures(ledger.kills, await check(f"{app.url}/literal", key, ledger))
    finally:
        await asyncio.to_thread(app.stop)


async def test_app_and_server_are_killed_and_the_network_is_cut(
    tmp_path: Path, preloaded: Preloaded, sums: list[Figures]
) -> None:
    """App, server or both end by SIGKILL at random moments, connections are cut: nothing is lost or stored twice."""
    began = time.monotonic()
    figures = await at_once(partial(killed_with_a_server, launch=preloaded.launch), tmp_path, KILLS - EMBEDDED)

    sums.append(figures)
    note("separate server", figures, began)
    assert figures.turns["answered"] > 0
    assert figures.turns["failed"] == figures.turns["cancelled"] == 0


async def test_the_app_with_its_own_server_is_killed(tmp_path: Path, preloaded: Preloaded, sums: list[Figures]) -> None:
    """The same with the server that the app brings along, whose process is killed in the middle of turns too."""
    began = time.monotonic()
    figures = await at_once(partial(killed_as_one, launch=preloaded.launch), tmp_path, EMBEDDED)

    sums.append(figures)
    note("embedded server", figures, began)
    assert figures.turns["failed"] == figures.turns["cancelled"] == 0
