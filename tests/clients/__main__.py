"""`python -m tests.clients [NAME ...]`: try every client, or those named, each in an environment of its own.

A client whose environment cannot be made on this machine has not passed; nor has a test that was skipped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.app_process import ROOT, clean_environment
from tests.clients.processes import places
from tests.environments import MissingError, node_environment, python_environment

HERE = Path(__file__).resolve().parent
NODE = HERE / "node"
CACHE = ROOT / ".clients"

_PATIENCE_SECONDS = 900

# Clients that ask the rest of the world for something (prices, usage reports) find nobody there.
NOWHERE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
NOWHERE |= {name.upper(): value for name, value in NOWHERE.items()}
NOWHERE |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "TRACELOOP_TELEMETRY": "false"}  # which else try again and again

# Given the file for its report, says how to run a client's tests: the command, and what its environment adds.
Start = Callable[[Path], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Client:
    """A client as people have it installed, and how its tests are started."""

    name: str
    start: Start


@dataclass
class Result:
    """What came of a client: its tests with what went wrong in each, or why there are none."""

    name: str
    tests: list[tuple[str, str | None]] = field(default_factory=list)
    problem: str | None = None

    @property
    def failed(self) -> list[tuple[str, str]]:
        """The tests that did not pass, with their reasons."""
        return [(test, reason) for test, reason in self.tests if reason is not None]

    @property
    def passed(self) -> bool:
        """Whether there were tests and all of them passed."""
        return self.problem is None and bool(self.tests) and not self.failed


def python_client(*files: str, pins: str | None = None) -> Start:
    """Start tests with pytest in the environment of these pins; without pins in the project's own."""

    def start(report: Path) -> tuple[list[str], dict[str, str]]:
        python = sys.executable if pins is None else str(python_environment(CACHE, HERE / "pins" / f"{pins}.txt"))
        paths = [str(HERE / file) for file in files]
        return [
            python,
            "-m",
            "pytest",
            f"--confcutdir={HERE}",
            f"--junitxml={report}",
            "-p",
            "no:cacheprovider",
            *paths,
        ], {}

    return start


def node_client(report: Path) -> tuple[list[str], dict[str, str]]:
    """Start tests with Node's own runner."""
    modules = node_environment(CACHE, NODE) / "node_modules"
    files = sorted(str(file) for file in NODE.glob("*.test.cjs"))
    reporter = ["--test-reporter=junit", f"--test-reporter-destination={report}"]
    return ["node", "--test", "--test-concurrency=1", *reporter, *files], {"NODE_PATH": str(modules)}


LITERALAI = ("test_literalai_records.py", "test_literalai_context.py", "test_literalai_evaluation.py")

CLIENTS = [
    Client("literalai 0.1.201", python_client(*LITERALAI)),
    Client("literalai 0.1.201, OpenAI instrumented", python_client("check_openai.py")),
    Client("literalai 0.1.300", python_client(*LITERALAI, "check_literalai_hook.py", pins="literalai-0.1.300")),
    Client(
        "literalai 0.1.300, OpenAI and Mistral instrumented",
        python_client("check_openai.py", "check_mistral.py", pins="literalai-0.1.300"),
    ),
    Client("@literalai/client 0.1.5 (Node)", node_client),
    Client("Chainlit 2.12, stock app", python_client("test_chainlit.py")),
    Client("LiteLLM callback", python_client("check_litellm.py", pins="litellm")),
    Client("LangChain callback", python_client("check_langchain.py", pins="langchain")),
    Client("LlamaIndex callback", python_client("check_llama_index.py", pins="llama-index")),
    Client("OpenAI Agents processor", python_client("check_openai_agents.py", pins="openai-agents")),
]


def main(names: Sequence[str]) -> int:
    """Try the clients whose names contain one of the words, all without words; answers 1 unless all passed."""
    chosen = [client for client in CLIENTS if not names or any(name.lower() in client.name.lower() for name in names)]
    results = [run(client) for client in chosen]
    print()
    for result in results:
        print_result(result)
    print_table(results)
    return 0 if results and all(result.passed for result in results) else 1


def run(client: Client) -> Result:
    """Run a client's tests against a server of their own."""
    print(f"{client.name} ...", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="clients-"))
    try:
        report = folder / "report.xml"
        command, additions = client.start(report)
        with places(folder) as found:
            environment = clean_environment() | NOWHERE | found.environment() | additions
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        result = Result(client.name, read_report(report) if report.exists() else [])
        if not result.tests:
            result.problem = f"no test ran (exit code {done.returncode}):\n{(done.stdout + done.stderr)[-3_000:]}"
        elif done.returncode != 0 and not result.failed:
            result.problem = f"the tests ended with code {done.returncode}:\n{(done.stdout + done.stderr)[-3_000:]}"
        return result
    except (MissingError, subprocess.TimeoutExpired, pytest.fail.Exception) as missing:
        return Result(client.name, problem=str(missing))  # the last: the server or the model did not start
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_report(report: Path) -> list[tuple[str, str | None]]:
    """Read the tests of a JUnit report, each with what went wrong or None."""
    tests: list[tuple[str, str | None]] = []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by our own run a moment ago
        wrong = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        reason = None if wrong is None else f"{wrong.tag}: {wrong.get('message') or ''}\n{wrong.text or ''}"
        tests.append((case.get("name") or "", reason))
    return tests


def print_result(result: Result) -> None:
    """Print a client's tests one by one, and at length what went wrong."""
    print(f"## {result.name}")
    for test, reason in result.tests:
        print(f"  {'ok    ' if reason is None else 'FAILED'} {test}")
    for test, reason in result.failed:
        print(f"\n--- {result.name}: {test}\n{reason[-3_000:]}")
    print()


def print_table(results: Sequence[Result]) -> None:
    """Print a line for each client."""
    width = max((len(result.name) for result in results), default=0)
    for result in results:
        count = f"{len(result.tests) - len(result.failed)} of {len(result.tests)}"
        verdict = "passed" if result.passed else "NOT PASSED"
        print(f"{result.name:{width}}  {count:>9}  {verdict}  {result.problem or ''}".rstrip())


if __name__ == "__main__":
    os.chdir(ROOT)
    raise SystemExit(main(sys.argv[1:]))
