"""What clients are tried against: a Literal server and the offline model, each a process with a port of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app_process import ROOT, clean_environment, free_port, wait_until
from tests.server_process import KEY, ServerProcess

DEFAULT_TEMPLATE = "Hello, this is a {{test_var}} and this\n\n{{#items}}\n* {{.}}\n{{/items}}\n\nis a templated list."


@dataclass(frozen=True)
class Places:
    """Where a client finds the server and the model; addresses without a slash at the end."""

    server: str
    model: str

    def environment(self) -> dict[str, str]:
        """The places, and the key of the server, as a client's test process is told them."""
        return {"CLIENTS_SERVER": self.server, "CLIENTS_MODEL": self.model, "CLIENTS_KEY": KEY}


@contextlib.contextmanager
def places(folder: Path) -> Iterator[Places]:
    """Start both for as long as the block runs; data and logs lie in the folder."""
    server = ServerProcess(folder / "data").start()
    try:
        lay_the_first_prompt(server.url)
        with model_endpoint(folder / "model.log") as model:
            yield Places(server.url, model)
    finally:
        server.stop()


@contextlib.contextmanager
def model_endpoint(log: Path) -> Iterator[str]:
    """Serve the offline model for as long as the block runs, and give its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.clients.model_endpoint", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdout=output, stderr=subprocess.STDOUT)

    def answers() -> bool:
        if process.poll() is not None:
            pytest.fail(f"The model ended with code {process.returncode}:\n{log.read_text(errors='replace')}")
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{address}/health", timeout=5).status_code == 200
        return False

    try:
        wait_until(answers, 60, lambda: f"The model did not start:\n{log.read_text(errors='replace')}")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def ask(server: str, query: str, **variables: Any) -> Any:
    """Send a GraphQL document with the key and answer the value of its only root field."""
    body = {"query": query, "variables": variables}
    answer = httpx.post(f"{server}/api/graphql", json=body, headers={"x-api-key": KEY}, timeout=20).json()
    assert not answer.get("errors"), answer
    (value,) = answer["data"].values()
    return value


def lay_the_first_prompt(server: str) -> None:
    """Make the lineage and the dataset that the SDKs' own suites take for granted on a fresh server."""
    lineage = ask(server, 'mutation { createPromptLineage(name: "Default") { id } }')
    ask(
        server,
        "mutation ($lineage: String!, $messages: Json, $settings: Json, $defaults: Json) {"
        " createPromptVersion(lineageId: $lineage, templateMessages: $messages, settings: $settings,"
        " variablesDefaultValues: $defaults) { id } }",
        lineage=lineage["id"],
        messages=[{"role": "user", "content": DEFAULT_TEMPLATE}],
        settings={"provider": "openai", "model": "gpt-4o", "temperature": 1},
        defaults={"test_var": "test value", "items": ["item 0", "item 1", "item 2"]},
    )
    ask(server, 'mutation { createDataset(name: "First") { id } }')
