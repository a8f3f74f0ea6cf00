"""`export` and `import`: the data taken out, and data taken in."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from literal_server import json_text, projects
from literal_server.commands.access import add_project_option
from literal_server.commands.environment import Environment
from literal_server.commands.store import file_store, opened
from literal_server.errors import Refused
from literal_server.exchange.export import Selection, export
from literal_server.exchange.importing import Import, Report
from literal_server.exchange.messages import export_messages
from literal_server.exchange.source import Limits, Row, read
from literal_server.exchange.stored import Arrivals

_FILTER_HELP = (
    "only the threads that these filters of the API take, such as "
    '[{"field": "tags", "operator": "in", "value": ["bug"]}]; @FILE reads them from a file'
)
FORMATS = {"lines": export, "messages": export_messages}
# A line holds a step and the characters in it may be written as escapes.
_LINE_PER_BODY = 4


def add_export(parser: argparse.ArgumentParser) -> None:
    """Describe `export`."""
    parser.epilog = (
        "Lines can be imported again and hold everything; messages are those of the OpenAI API, one thread a line. "
        "A file appears when it is whole."
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--thread", metavar="ID", help="only this thread")
    chosen.add_argument("--filter", metavar="JSON", help=_FILTER_HELP)
    parser.add_argument("--format", choices=[*FORMATS], default="lines", help="how it is written (default: lines)")
    parser.add_argument("--deleted", action="store_true", help="take what is deleted and not yet purged along")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="the file to write (default: the output)")
    add_project_option(parser)
    parser.set_defaults(run=_export)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Describe `import`."""
    parser.epilog = (
        "The file is an export of this server, or threads and steps as the Literal SDKs' to_dict() gives them: one a "
        "line, or a JSON list. What is there already stands; what is missing is added, so that importing twice is "
        "importing once. Rows that cannot be taken are named on the error output, and the exit code is then 1."
    )
    parser.add_argument("file", metavar="FILE", help="the file to read; - reads the input")
    add_project_option(parser)
    parser.set_defaults(run=_import)


def _export(environment: Environment, arguments: argparse.Namespace) -> int:
    filters = _filters(arguments)

    async def work() -> int:
        async with opened(environment) as database:
            async with database.reading() as session:
                project = await projects.named(session, arguments.project)
            selection = Selection(project, file_store(environment), filters, arguments.deleted)
            with _destination(arguments.output) as file:
                written = await _write(FORMATS[arguments.format](database, selection), file)
                if filters and not written:
                    raise Refused("There is no such thread, so there is nothing to write.")
        return 0

    return asyncio.run(work())


def _filters(arguments: argparse.Namespace) -> list[dict[str, Any]] | None:
    if arguments.thread is not None:
        return [{"field": "id", "operator": "eq", "value": arguments.thread}]
    if arguments.filter is None:
        return None
    given: str = arguments.filter
    try:
        value = json_text.loads(Path(given[1:]).read_bytes() if given.startswith("@") else given)
    except ValueError:
        raise Refused("--filter takes JSON: a list of filters as the API has them.") from None
    filters = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) and {"field", "operator"} <= one.keys() for one in filters):
        raise Refused("A filter is an object with field, operator, value and, where it leads into JSON, path.")
    return filters


async def _write(told: AsyncIterator[dict[str, Any]], file: BinaryIO) -> int:
    written = 0
    with tqdm(unit=" threads", disable=not sys.stderr.isatty()) as progress:
        async with aclosing(told) as rows:  # type: ignore[type-var] # every one of them is a generator
            async for line in rows:
                file.write(json_text.dumps(line).encode() + b"\n")
                is_thread = line.get("kind", "thread") == "thread"
                written += line.get("kind") not in ("export", "end")
                progress.update(is_thread)
    return written


@contextmanager
def _destination(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            draft.unlink()
            raise
    draft.replace(path)


def _import(environment: Environment, arguments: argparse.Namespace) -> int:
    with _source(arguments.file) as (stream, size):
        report = asyncio.run(_take_in(environment, arguments, stream, size))
    for words, counts in (("Added", report.added), ("Already there", report.there)):
        told = ", ".join(f"{count} {kind.replace('_', ' ')}{'s' * (count != 1)}" for kind, count in counts.items())
        print(f"{words}: {told or 'nothing'}.")
    if report.refused:
        print(f"Not taken: {report.refused}, named above.", file=sys.stderr)
    return 1 if report.refused else 0


@contextmanager
def _source(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if name == "-":
        yield sys.stdin.buffer, None
        return
    with Path(name).open("rb") as file:
        yield file, os.fstat(file.fileno()).st_size


async def _take_in(
    environment: Environment, arguments: argparse.Namespace, stream: BinaryIO, size: int | None
) -> Report:
    limits = Limits(_LINE_PER_BODY * environment.max_body_bytes, environment.max_nesting, environment.max_id_length)
    async with opened(environment) as database:
        async with database.reading() as session:
            project = await projects.named(session, arguments.project)
        with tqdm(total=size, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as progress:

            def refused(row: Row, reason: str) -> None:
                progress.write(f"{row.place}: {reason}", file=sys.stderr)

            def rows() -> Iterator[Row]:
                for row in read(stream, limits):
                    yield row
                    progress.update(row.size)

            arrivals = Arrivals(database, file_store(environment), project.id, environment.max_file_bytes)
            return await Import(database, arrivals, project, refused).run(rows())
