"""What the pages show, made from the rows of floor one: lines of the list, and the tree of one thread."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import certificates, clock, files, generations, json_text, reviews, shares, steps, threads
from literal_server.certificates import Certificate
from literal_server.review_tables import Comment, Share
from literal_server.steps import FullStep
from literal_server.tables import Attachment, Score, Thread

FileLink = Callable[[str | None], str | None]

# Deeper steps are shown at this depth: a page nests only so far before it is neither readable nor renderable.
DEEPEST = 12
PAGES = ("application/pdf", "text/plain", "text/markdown", "text/csv", "application/json")
"""Files that a browser shows in a frame, where nothing in them runs."""
LARGE_BYTES = 5_000
"""What is larger as JSON, in a fold, is read when that is opened (docs/decisions/0035)."""
MESSAGES = {"user_message": "User", "assistant_message": "Assistant", "system_message": "System"}


SCORE_COLUMNS = {
    **{name: name for name in ("id", "name", "type", "value", "label", "scorer", "comment", "tags")},
    "stepId": "step_id",
}
ATTACHMENT_COLUMNS = {
    **{name: name for name in ("id", "name", "mime", "url")},
    "objectKey": "object_key",
    "metadata": "metadata_",
}


def _columns(row: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: getattr(row, column) for name, column in names.items()}


def _time(moment: int | None) -> str | None:
    return None if moment is None else clock.format_time(moment)


@dataclass(frozen=True)
class ThreadLine:
    """One line of the list."""

    thread: Thread
    user: str | None
    duration: float | None
    is_live: bool


@dataclass(frozen=True)
class ShownFile:
    """A file of a step: `address` is where the browser reads it, None where it cannot; missing if it never arrived.

    `preview` is picture, audio, video, page or empty: how it is shown in place.
    """

    name: str
    mime: str | None
    address: str | None
    preview: str
    is_missing: bool


@dataclass
class StepNode:
    """One step of the page with those inside it; `is_open` because the wanted step is this one or in it."""

    full: FullStep
    depth: int
    is_current: bool = False
    is_open: bool = False
    children: list["StepNode"] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    files: Sequence[ShownFile] = ()

    @property
    def step(self) -> Any:
        """The row."""
        return self.full.step

    @cached_property
    def generation(self) -> dict[str, Any] | None:
        """The generation of the step, its parts in the shape that readers expect."""
        given = self.step.generation
        return generations.readable(given, strict=False) if given else None

    @property
    def anchor(self) -> str:
        """Its id in the page, the same however many steps arrive before it."""
        return "step-" + hashlib.blake2s(json_text.encodable(self.step.id).encode(), digest_size=8).hexdigest()

    @property
    def speaker(self) -> str | None:
        """Who speaks, when the step is a message."""
        return MESSAGES.get(self.step.type)

    @property
    def content(self) -> str:
        """The text of a message: its output, for which some clients use the input."""
        value = self.step.output if not json_text.is_blank(self.step.output) else self.step.input
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            return str(value["content"])
        return json_text.as_text(value) or ""

    @property
    def is_large(self) -> bool:
        """Whether to draw what it was given and what came of it takes milliseconds."""
        step = self.step
        given = (step.input, step.output, step.generation)
        return bool(step.payloads) or sum(map(json_text.size, given)) > LARGE_BYTES

    @property
    def replaced(self) -> dict[str, Any] | None:
        """Who cut this step off by an edit or by asking again (`author`), when (`at`); None when it stands."""
        mark = self.step.metadata_.get("superseded") if isinstance(self.step.metadata_, dict) else None
        if not mark:
            return None
        mark = mark if isinstance(mark, dict) else {}
        try:
            at = clock.parse_time(mark.get("at"))
        except ValueError:
            at = None
        return {"author": json_text.as_text(mark.get("author")) or "somebody", "at": at}

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        if self.step.start_time is None or self.step.end_time is None:
            return None
        return max(0, int(self.step.end_time - self.step.start_time)) / 1_000_000

    @property
    def raw(self) -> dict[str, Any]:
        """The step as it is stored, under the names of the wire."""
        step = self.full.step
        return {
            "id": step.id,
            "threadId": step.thread_id,
            "parentId": step.parent_id,
            "rootRunId": step.root_run_id,
            "type": step.type,
            "name": step.name,
            "startTime": _time(step.start_time),
            "endTime": _time(step.end_time),
            "createdAt": _time(step.created_at),
            "environment": step.environment,
            "tags": step.tags,
            "error": step.error,
            "input": step.input,
            "output": step.output,
            "generation": step.generation,
            "metadata": step.metadata_,
            "scores": [_columns(score, SCORE_COLUMNS) for score in self.full.scores],
            "attachments": [_columns(file, ATTACHMENT_COLUMNS) for file in self.full.attachments],
        }

    @property
    def is_running(self) -> bool:
        """Whether the step began and was never told to have ended."""
        return self.speaker is None and self.step.start_time is not None and self.step.end_time is None

    @property
    def consent(self) -> str:
        """What a person decided on a tool call that needs consent, and who; empty where none was needed."""
        metadata = self.step.metadata_
        approval = metadata.get("approval") if isinstance(metadata, dict) else None
        decision = approval.get("decision") if isinstance(approval, dict) else None
        if not isinstance(decision, str):
            return ""
        if decision == "waiting":
            return "waiting for consent" if self.step.end_time is None else ""
        by = approval.get("by") if isinstance(approval, dict) else None
        return f"{decision.replace('_', ' ')} by {by}" if isinstance(by, str) else decision.replace("_", " ")


@dataclass(frozen=True)
class ThreadPage:
    """One thread as a page: its line, and its steps at the root with all that is inside them."""

    line: ThreadLine
    roots: Sequence[StepNode]
    current: StepNode | None
    certificate: Certificate
    scores: Sequence[Score] = ()
    comments: Sequence[Comment] = ()
    score_names: Sequence[str] = ()
    shares: Sequence[Share] = ()

    @property
    def is_reviewed(self) -> bool:
        """Whether somebody has reviewed it, and nothing happened in it since."""
        thread = self.line.thread
        return thread.reviewed_at is not None and thread.reviewed_at >= thread.last_activity

    def step_name(self, identity: str) -> str:
        """What a step of this thread is called, for a link to it."""
        for node in flatten(self.roots):
            if node.step.id == identity:
                return str(node.speaker or node.step.name or node.step.model or node.step.type)
        return "a step that is deleted"

    @property
    def first_failed(self) -> StepNode | None:
        """The first step that failed, to begin with."""
        return next((node for node in flatten(self.roots) if node.step.is_error), None)

    @property
    def replaced_turns(self) -> int:
        """How many of the thread's questions were cut off: they are among its turns, as their tokens are."""
        return sum(node.step.type == "user_message" and node.replaced is not None for node in flatten(self.roots))


async def lines_of(session: AsyncSession, project: str, found: Sequence[Thread], now: int) -> list[ThreadLine]:
    """Answer threads as lines of a list."""
    users = await threads.participants_of(session, project, found)
    identifiers = {identity: user.identifier for identity, user in users.items()}
    return [
        ThreadLine(
            thread, identifiers.get(thread.participant_id or ""), threads.duration(thread), threads.is_live(thread, now)
        )
        for thread in found
    ]


async def find_thread(session: AsyncSession, project: str, thread_id: str, owner: str | None) -> Thread | None:
    """Answer the thread, None when there is none, or none of this owner's."""
    thread = await threads.find(session, project, thread_id)
    if thread is None or owner is None:
        return thread
    users = await threads.participants_of(session, project, [thread])
    return thread if any(user.identifier == owner for user in users.values()) else None


async def read_thread(
    session: AsyncSession,
    project: str,
    thread_id: str,
    current_step: str | None,
    now: int,
    *,
    link: FileLink,
    owner: str | None = None,
) -> ThreadPage | None:
    """Read the outline of a thread, None when there is none, or none of this owner's.

    The way to the current step is open. What is to be shown whole is loaded afterwards (`load`).
    `link` makes the address of a stored file from its object key.
    """
    thread = await find_thread(session, project, thread_id, owner)
    if thread is None:
        return None
    line = (await lines_of(session, project, [thread], now))[0]
    arranged = await steps.outline(session, project, thread_id)
    roots = nest(arranged, current_step)
    await _show_files(session, project, roots, link)
    certificate = certificates.of_thread(thread, [full.step for full in arranged], now)
    comments = await reviews.comments_of(session, project, thread_id)
    for node in flatten(roots) if comments else ():
        node.comments = [one for one in comments if one.step_id == node.step.id]
    return ThreadPage(
        line,
        roots,
        next((node for node in flatten(roots) if node.is_current), None),
        certificate,
        await reviews.scores_of(session, project, thread_id),
        comments,
        await reviews.score_names(session, project) if owner is None else (),
        await shares.of_thread(session, project, thread_id) if owner is None else (),
    )


def without_reviews(page: ThreadPage) -> ThreadPage:
    """Answer the page with what people in the chat said about it alone: reviewers spoke among themselves.

    Its steps are the same ones, and lose what reviewers said.
    """
    for node in flatten(page.roots):
        node.comments = []
        node.full = replace(
            node.full, scores=[score for score in node.full.scores if score.name == reviews.USER_FEEDBACK]
        )
    feedback = [score for score in page.scores if score.name == reviews.USER_FEEDBACK]
    return replace(page, scores=feedback, comments=(), score_names=(), shares=())


async def load(session: AsyncSession, project: str, nodes: Iterable[StepNode | None]) -> None:
    """Read what went in and out of these steps."""
    await steps.load(session, project, [node.step for node in nodes if node is not None])


async def _show_files(session: AsyncSession, project: str, roots: Sequence[StepNode], link: FileLink) -> None:
    keys = [file.object_key for node in flatten(roots) for file in node.full.attachments if file.object_key]
    stored = await files.media_types(session, project, keys)
    for node in flatten(roots):
        node.files = [_shown(file, stored.get(file.object_key or ""), link) for file in node.full.attachments]


def _preview(mime: str | None) -> str:
    """Say how a page shows a stored file in place; what could imitate or run anything is a link alone."""
    if mime in files.PICTURES:
        return "picture"
    kind = (mime or "").partition("/")[0]
    if kind in ("audio", "video"):
        return kind
    return "page" if mime in PAGES else ""


def _shown(file: Attachment, stored_as: str | None, link: FileLink) -> ShownFile:
    address = link(file.object_key) if stored_as else None
    # Whoever records may write anything here: only what leads to a page or a file becomes a link.
    if address is None and file.url and file.url.lower().startswith(("http://", "https://")):
        address = json_text.encodable(file.url)
    is_missing = address is None and link(file.object_key) is not None
    return ShownFile(file.name or "unnamed file", file.mime or stored_as, address, _preview(stored_as), is_missing)


def flatten(nodes: Sequence[StepNode]) -> Iterator[StepNode]:
    """Yield nodes and all inside them in reading order."""
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def nest(arranged: Sequence[FullStep], current_step: str | None) -> list[StepNode]:
    """Put steps, parents first, into each other."""
    roots: list[StepNode] = []
    nodes: dict[str, StepNode] = {}
    home: dict[str, StepNode] = {}
    for full in arranged:
        parent = home.get(full.parent_id or "")
        node = StepNode(full, parent.depth + 1 if parent else 0)
        nodes[full.step.id] = node
        # Where the children of this step go: into it, or beside it at the deepest level.
        home[full.step.id] = node if node.depth < DEEPEST or parent is None else parent
        (parent.children if parent else roots).append(node)
    current = nodes.get(current_step or "")
    if current is not None:
        current.is_current = True
        at: StepNode | None = current
        while at is not None:
            at.is_open = True
            at = home.get(at.full.parent_id or "")
    return roots
