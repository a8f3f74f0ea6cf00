"""`export` and `import` as a person types them, beside a running server, and threads saved through the real SDK."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from literalai import ChatGeneration, LiteralClient

from tests.app_process import ROOT
from tests.literal_server.server_process import ServerProcess, done, run
from tests.literal_server.wire import KEY

MESSAGES: Any = [{"role": "user", "content": "question"}]


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with three threads that the SDK has recorded."""
    server = ServerProcess(tmp_path_factory.mktemp("old") / "data", LITERAL_API_KEY=KEY)
    client = sdk(server)
    for number in range(3):
        with client.thread(thread_id=f"t{number}", name=f"q{number}", participant_id="ada", tags=[f"tag{number}"]):
            client.message(content=f"question {number}", type="user_message", name="ada")
            with client.run(name="agent") as agent:
                with client.step(type="tool", name="double") as tool:
                    tool.input, tool.output = {"number": number}, {"content": number * 2}
                with client.step(type="llm", name="model") as call:
                    call.generation = ChatGeneration(provider="openai", model="m", token_count=7, messages=MESSAGES)
                agent.output = {"content": "done"}
            client.message(content=f"answer {number}", type="assistant_message", name="agent")
    client.flush()
    first = client.api.get_thread("t0").steps[0]
    client.api.create_score(step_id=first.id, name="user-feedback", type="HUMAN", value=1, comment="good")
    client.flush_and_stop()
    yield server
    assert server.stop() == 0


@pytest.fixture
def new(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path / "data", LITERAL_API_KEY=KEY)
    yield server
    assert server.stop() == 0


def sdk(server: ServerProcess) -> Any:
    """Make a client as old applications do."""
    return LiteralClient(url=server.url, api_key=KEY)


def saved(server: ServerProcess) -> list[dict[str, Any]]:
    """Save all threads as people did before the cloud went away."""
    client = sdk(server)
    found = [client.api.get_thread(one.id).to_dict() for one in client.api.get_threads(first=100).data]
    client.flush_and_stop()
    return sorted(found, key=lambda thread: str(thread["id"]))


@pytest.mark.parametrize("form", ["list", "indented", "lines", "page"])
def test_threads_saved_through_the_sdk_come_back(
    old: ServerProcess, new: ServerProcess, tmp_path: Path, form: str
) -> None:
    """What `to_dict()` gave is imported while the server runs, and the SDK reads back the same, times kept."""
    threads = saved(old)
    file = tmp_path / "threads.json"
    file.write_text({
        "list": json.dumps(threads),
        "indented": json.dumps(threads, indent=2),
        "lines": "\n".join(map(json.dumps, threads)),
        "page": json.dumps({"data": threads, "pageInfo": {"hasNextPage": False}}),
    }[form])  # fmt: skip
    told = done(new.data, "import", str(file))

    assert told == f"Added: 3 threads, {sum(len(one['steps']) for one in threads)} steps.\nAlready there: nothing.\n"
    assert saved(new) == threads
    assert done(new.data, "import", str(file)).startswith("Added: nothing.\nAlready there: 3 threads")
    assert saved(new) == threads


def test_an_export_goes_to_a_file_and_back(old: ServerProcess, new: ServerProcess, tmp_path: Path) -> None:
    """A file for its owner's eyes appears when it is whole, and another server takes it from its input."""
    file = tmp_path / "all.jsonl"
    done(old.data, "export", "--output", str(file))

    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.glob("all*")] == ["all.jsonl"]
    assert done(old.data, "export").splitlines()[1:] == file.read_text().splitlines()[1:]
    assert "Added: 1 participant, 3 threads" in done(new.data, "import", "-", given=file.read_text())
    assert saved(new) == saved(old)


def test_some_threads_and_one_thread(old: ServerProcess, tmp_path: Path) -> None:
    """A filter, also from a file, or an id choose what is exported; what fits nothing leaves no file."""
    wanted = [{"field": "tags", "operator": "in", "value": ["tag1", "tag2"]}]
    (tmp_path / "filter.json").write_text(json.dumps(wanted))

    def threads(*arguments: str) -> list[str]:
        lines = [json.loads(line) for line in done(old.data, "export", *arguments).splitlines()]
        return [line["id"] for line in lines if line["kind"] == "thread"]

    assert (
        threads("--filter", json.dumps(wanted)) == threads("--filter", f"@{tmp_path / 'filter.json'}") == ["t1", "t2"]
    )
    assert threads("--thread", "t0") == ["t0"]
    for arguments, sentence in (
        (["--thread", "nowhere"], "There is no such thread"),
        (["--filter", "tags"], "--filter takes JSON"),
        (["--filter", '{"field": "tags"}'], "A filter is an object with field"),
        (["--filter", '{"field": "colour", "operator": "eq", "value": 1}'], "no filter field 'colour'"),
    ):
        ended = run(old.data, "export", "-o", str(tmp_path / "none.jsonl"), *arguments)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
        assert sentence in ended.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["filter.json"]


def test_messages_of_the_api(old: ServerProcess) -> None:
    """One thread a line, with its messages and tool calls as the API has them."""
    lines = [json.loads(line) for line in done(old.data, "export", "--format", "messages").splitlines()]

    assert [(line["thread_id"], line["user"]) for line in lines] == [(f"t{number}", "ada") for number in range(3)]
    roles = [message["role"] for message in lines[2]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert lines[2]["messages"][2]["content"] == "4"
    assert lines[2]["messages"][3] == {"role": "assistant", "content": "answer 2"}


def test_rows_not_taken_are_named(new: ServerProcess, tmp_path: Path) -> None:
    """The good rows of a file are taken, the others named by line, and the exit code says that some are missing."""
    file = tmp_path / "mixed.jsonl"
    file.write_text(
        '{"id": "s1", "type": "run"}\nno json\n{"id": "s2", "type": "dance"}\n{"id": "s3", "type": "run"}\n'
    )
    ended = run(new.data, "import", str(file))

    assert ended.returncode == 1
    assert ended.stdout.startswith("Added: 2 steps.")
    assert ended.stderr.splitlines() == [
        "line 2: It is not JSON.",
        "line 3: There is no type of step 'dance'.",
        "Not taken: 2, named above.",
    ]
    missing = run(new.data, "import", str(tmp_path / "nowhere"))
    assert (missing.returncode, missing.stderr) == (2, f"{tmp_path / 'nowhere'}: No such file or directory.\n")


def test_a_reader_that_has_seen_enough(old: ServerProcess) -> None:
    """A pipe that is closed ends the export without a traceback."""
    command = f"{sys.executable} -m literal_server export | head -c 1"
    environment = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(old.data), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, cwd=old.data, capture_output=True, text=True, check=False
    )

    assert (ended.stdout, ended.stderr) == ("{", "")
