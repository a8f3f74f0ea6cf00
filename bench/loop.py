"""What a turn costs beyond the bare client: our loop and others', at the same endpoint."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.measuring import in_turns, median, table
from bench.options import Options
from bench.peers import peer_python
from tests.app_process import ROOT, clean_environment
from tests.clients.processes import model_endpoint

PACKAGES: tuple[str, ...] = ("openai", "openai-agents", "pydantic-ai-slim", "langgraph", "langchain-openai")
TURNS = 100
ROUNDS = 5
BARE, OURS = "bare `openai` client", "ours"
PEERS = {
    "OpenAI Agents SDK": ("with_openai_agents.py", "loop-openai-agents"),
    "Pydantic AI": ("with_pydantic_ai.py", "loop-pydantic-ai"),
    "LangGraph": ("with_langgraph.py", "loop-langgraph"),
}

SECTION = """## The loop

One turn: a model call, two tool calls side by side, a model call, all streamed. The scripted model, without any delay,
is a process of its own; each contestant runs {turns} turns one after the other in a fresh process, after ten that do
not count, and takes turns {rounds} times; medians. The processor's time is the contestant's alone; of the wall's, the
model's own work is a part.

{table}"""


def run(options: Options) -> str:
    """Measure a turn by hand, in our loop and in those of others."""
    rounds, turns = (1, 3) if options.quick else (ROUNDS, TURNS)
    contestants = {BARE: (sys.executable, "bare.py"), OURS: (sys.executable, "ours.py")}
    if options.peers:
        contestants |= {name: (str(peer_python(pins)), script) for name, (script, pins) in PEERS.items()}
    with tempfile.TemporaryDirectory() as folder, model_endpoint(Path(folder) / "model.log") as model:
        variants = {
            name: partial(measure, python, script, f"{model}/v1", turns)
            for name, (python, script) in contestants.items()
        }
        outcomes = in_turns(variants, rounds)
    return SECTION.format(turns=turns, rounds=rounds, table=_table(outcomes))


def measure(python: str, script: str, url: str, turns: int) -> Mapping[str, float]:
    """Let a contestant run; answer milliseconds a turn, `wall_ms` and `cpu_ms`."""
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, str(ROOT / "bench" / "turns" / script), url, str(turns)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
    answer: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _table(outcomes: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    medians = {
        name: {key: median([run[key] for run in runs]) for key in ("cpu_ms", "wall_ms")}
        for name, runs in outcomes.items()
    }
    bare = medians[BARE]
    rows = [
        [
            name,
            f"{cost['cpu_ms']:.1f}",
            f"{cost['cpu_ms'] / bare['cpu_ms']:.2f}",
            f"{cost['wall_ms']:.1f}",
            f"{cost['wall_ms'] / bare['wall_ms']:.2f}",
        ]
        for name, cost in medians.items()
    ]
    return table(["", "CPU ms a turn", "ratio", "wall ms a turn", "ratio"], rows)
