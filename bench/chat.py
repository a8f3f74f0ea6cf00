"""What recording costs a chat: the app with and without it, and an ordinary Chainlit app with what it can be given."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.chat_load import Load, ask, come_and_go, stay
from bench.measuring import in_turns, median, table
from bench.options import Options
from bench.processes import cpu_seconds, cpu_seconds_below, process_tree_megabytes
from tests.app_process import ROOT, AppProcess
from tests.server_process import KEY, ServerProcess

PACKAGES: tuple[str, ...] = ("chainlit", "openai", "literalai", "aiosqlite", "SQLAlchemy")
MODEL = {"OFFLINE_FIRST_TOKEN_SECONDS": "0.02", "OFFLINE_TOKEN_SECONDS": "0.002"}
OURS = MODEL | {"QUESTIONS_PER_MINUTE": "0"}
SECONDS = {1: 1.5, 20: 3.0, 100: 3.0}
ROUNDS = 5
SLOW = "stock Chainlit, LiteralDataLayer"
SLOW_UP_TO = 20  # a round of 100 sessions would take it minutes
DRAIN_SECONDS = 60.0
SESSION_SECONDS = 5  # so long Chainlit keeps the session of a tab that was closed, in the measurement of memory

SECTION = """## Recording and the chat

So many sessions over socket.io, each asking one question after the other (a model call, two tool calls side by side, a
model call), of the scripted model: {first} s to its first token, {token} s between tokens. Each app is a process of its
own that runs through the whole measurement; they take turns {rounds} times, and the figures are medians. The clock
starts at the first question, when all sessions are connected, and stops at the last answer. Many sessions wait for one
processor core, so turns a second and processor time tell the same; the latter, at {many} sessions, is that of the chat,
and that of the processes beside it that keep the record, counted until it holds everything. The stock app shows the
same steps, with the same model and tool. "Not flushed": with
`FLUSH_EACH_EVENT=off` a turn does not wait for the disk.

{table}

Resident memory (MB) of the app and the processes beside it, what they share counted once, with Chainlit told to keep
closed sessions for {seconds} s instead of an hour:

{memory}"""


@dataclass(frozen=True)
class Host:
    """An app that runs, with the recording server beside it where it has one; `records` tells that ours records."""

    app: AppProcess
    server: ServerProcess | None = None
    records: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a load came to, and the milliseconds of processor time for each of its turns: the chat's, and beside it."""

    load: Load
    app_ms: float
    beside_ms: float


@dataclass(frozen=True)
class Crowd:
    """Who comes while memory is measured: how many at first, then idly, then to ask and leave; and what is waited.

    The pause is for Chainlit to end a session, and then for what clears up behind it to look again.
    """

    few: int = 20
    idle: int = 100
    leaving: int = 1_000
    pause: float = 2 * SESSION_SECONDS + 1


def run(options: Options) -> str:
    """Measure all variants at 1, 20 and 100 sessions, and the memory of two."""
    seconds = {1: 0.2, 2: 0.2} if options.quick else SECONDS
    rounds = 1 if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        hosts = {name: stack.enter_context(host) for name, host in _hosts(Path(folder), options.peers).items()}
        outcomes = {
            sessions: in_turns(
                {
                    name: partial(measure, host, sessions, length)
                    for name, host in hosts.items()
                    if _takes(name, sessions)
                },
                rounds,
            )
            for sessions, length in seconds.items()
        }
    crowd = Crowd(few=2, idle=2, leaving=3, pause=0) if options.quick else Crowd()
    return SECTION.format(
        first=MODEL["OFFLINE_FIRST_TOKEN_SECONDS"],
        token=MODEL["OFFLINE_TOKEN_SECONDS"],
        rounds=rounds,
        many=sorted(outcomes)[1],
        table=_table(outcomes),
        seconds=SESSION_SECONDS,
        memory=_memory(crowd, options.peers),
    )


def measure(host: Host, sessions: int, seconds: float) -> Outcome:
    """Put a load on an app, and wait until what came of it is recorded."""
    began: list[float] = []
    load = asyncio.run(ask(host.app.url, sessions, seconds, lambda: began.extend(_used(host))))
    if host.records:
        _drain(host.app)
    app, server = (1000 * (end - begin) / len(load.turns) for begin, end in zip(began, _used(host), strict=True))
    return Outcome(load, app, server)


def _used(host: Host) -> tuple[float, float]:
    beside = cpu_seconds_below(host.app.pid) + (cpu_seconds(host.server.pid) if host.server else 0.0)
    return cpu_seconds(host.app.pid), beside


def _drain(app: AppProcess) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while httpx.get(f"{app.url}/health", timeout=30).json()["recording"]["waiting"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"What was recorded is not sent:\n{app.text()}")
        time.sleep(0.2)


def _takes(name: str, sessions: int) -> bool:
    return name != SLOW or sessions <= SLOW_UP_TO


def _hosts(folder: Path, peers: bool) -> Mapping[str, contextlib.AbstractContextManager[Host]]:
    """Return how to start each variant; those of others only where they are wanted."""
    ours = {
        "ours, recording off": _ours(folder / "off", RECORDING="off"),
        "ours, recording on": _ours(folder / "on"),
        "ours, events not flushed": _ours(folder / "unflushed", FLUSH_EACH_EVENT="off"),
        "ours, server in another process": _beside(folder / "beside"),
    }
    stock = {
        "stock Chainlit, no data layer": _stock(folder / "plain"),
        "stock Chainlit, SQLAlchemyDataLayer": _stock(folder / "sqlite", STOCK_SQLITE=str(folder / "stock.db")),
        SLOW: _stock_at_server(folder / "literal"),
    }
    return ours | (stock if peers else {})


@contextlib.contextmanager
def _running(app: AppProcess) -> Iterator[AppProcess]:
    try:
        yield app.start()
    finally:
        app.stop()


@contextlib.contextmanager
def _serving(data: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(data)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def _ours(data: Path, **settings: str) -> Iterator[Host]:
    with _running(AppProcess(data, settings=OURS | settings)) as app:
        yield Host(app, records=settings.get("RECORDING") != "off")


@contextlib.contextmanager
def _beside(data: Path) -> Iterator[Host]:
    with (
        _serving(data.with_name(f"{data.name}-server")) as server,
        _running(AppProcess(data, settings=OURS | {"LITERAL_API_URL": server.url, "LITERAL_API_KEY": KEY})) as app,
    ):
        yield Host(app, server, records=True)


@contextlib.contextmanager
def _stock(folder: Path, **settings: str) -> Iterator[Host]:
    """Run the stock app in a folder of its own, as Chainlit writes its configuration beside it."""
    folder.mkdir()
    shutil.copy(ROOT / "bench" / "stock" / "app.py", folder)
    settings = MODEL | {"PYTHONPATH": str(ROOT), "CHAINLIT_AUTH_SECRET": "x" * 64} | settings
    with _running(AppProcess(folder / "data", folder, settings=settings)) as app:
        yield Host(app)


@contextlib.contextmanager
def _stock_at_server(folder: Path) -> Iterator[Host]:
    with (
        _serving(folder.with_name(f"{folder.name}-server")) as server,
        _stock(folder, LITERAL_API_URL=server.url, LITERAL_API_KEY=KEY) as host,
    ):
        yield Host(host.app, server)


def _table(outcomes: Mapping[int, Mapping[str, Sequence[Outcome]]]) -> str:
    few, *_ = outcomes
    many = sorted(outcomes)[1]
    names = list(outcomes[few])
    base = _turns(outcomes[many][names[0]])
    head = ["", *(f"turns/s, {sessions}" for sessions in outcomes), f"ratio at {many}", f"first token ms, {few}"]
    head += [f"first token ms, {many}", "CPU ms a turn, chat", "beside it"]
    rows = []
    for name in names:
        at_few, at_many = outcomes[few][name], outcomes[many][name]
        rates = [f"{_turns(each[name]):.1f}" if name in each else "not measured" for each in outcomes.values()]
        firsts = [f"{median([one.load.first_token_ms for one in runs]):.0f}" for runs in (at_few, at_many)]
        cpu = [f"{median([one.app_ms for one in at_many]):.1f}", f"{median([one.beside_ms for one in at_many]):.1f}"]
        rows.append([name, *rates, f"{_turns(at_many) / base:.2f}", *firsts, *cpu])
    return table(head, rows)


def _turns(outcomes: Sequence[Outcome]) -> float:
    return median([outcome.load.turns_per_second for outcome in outcomes])


def _memory(crowd: Crowd, peers: bool) -> str:
    """Measure the memory of our app, and of the stock one if wanted."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        short = {"CHAINLIT_APP_ROOT": _impatient(Path(folder))}
        hosts = {"ours, recording on": _ours(Path(folder) / "on", **short)}
        if peers:
            hosts["stock Chainlit, no data layer"] = _stock(Path(folder) / "plain", **short)
        for name, starting in hosts.items():
            print(f"  memory: {name}", flush=True)
            with starting as host:
                rows.append([name, *(f"{megabytes:.0f}" for megabytes in _weighed(host, crowd))])
    head = [f"after {crowd.few} sessions", f"with {crowd.idle} idle", f"after {crowd.leaving} more that asked and left"]
    return table(["", *head], rows)


def _weighed(host: Host, crowd: Crowd) -> Iterator[float]:
    """Yield the resident megabytes of an app: warm, with idle sessions, and after many that were."""
    url, pid = host.app.url, host.app.pid
    asyncio.run(come_and_go(url, crowd.few))
    time.sleep(crowd.pause)
    yield process_tree_megabytes(pid)
    weight: list[float] = []
    asyncio.run(stay(url, crowd.idle, lambda: weight.append(process_tree_megabytes(pid))))
    yield weight[0]
    asyncio.run(come_and_go(url, crowd.leaving))
    time.sleep(crowd.pause)
    yield process_tree_megabytes(pid)


def _impatient(folder: Path) -> str:
    """Return a folder with our configuration of Chainlit that keeps closed sessions for seconds only."""
    root = folder / "root"
    shutil.copytree(ROOT / ".chainlit", root / ".chainlit")
    shutil.copytree(ROOT / "public", root / "public")
    file = root / ".chainlit" / "config.toml"
    file.write_text(file.read_text().replace("session_timeout = 3600", f"session_timeout = {SESSION_SECONDS}", 1))
    return str(root)
