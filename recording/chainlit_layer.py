"""Chainlit's data layer over the Literal API: it reads threads for sidebar and resume, and writes what is no turn.

The recorder alone writes turns. Chainlit would write them too, later and with less in them, so its questions, its runs
and its notice of a manual stop are dropped here.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any, TypeVar

import httpx
from chainlit.context import CL_RUN_NAMES
from chainlit.data.base import BaseDataLayer
from chainlit.data.utils import queue_until_user_message
from chainlit.element import Element, ElementDict
from chainlit.step import StepDict
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User
from literalai.my_types import User as StoredUser
from literalai.observability.thread import Thread

from doors import Caller
from recording.branches import last_turns, living
from recording.chainlit_shapes import (
    ELEMENT_METADATA,
    chainlit_step,
    content_of,
    element_dict,
    thread_dict,
    to_literal,
    with_thumbs,
)
from recording.client import LiteralAPI, RecordingError, UnreachableError
from recording.reports import Reports
from recording.steps import ASSISTANT, message_id, message_step

logger = logging.getLogger(__name__)

KEPT_SESSION_KEYS = ("chat_settings", "chat_profile", "client_type")
STOP_NOTICE = "Task manually stopped."
STORED_SECONDS = 2.0
SHORT_SECONDS = 2.0  # for what every page asks first
THREAD_SECONDS = 8.0  # for a whole thread, which may be long
DOWN_SECONDS = 5.0
USERS_REMEMBERED = 1000

T = TypeVar("T")


class ChainlitLayer(BaseDataLayer):
    """One per process, as Chainlit keeps the first it gets.

    Args:
        api: the Literal server to read from.
        outbox: where writes go, so that none is lost while the server is away.
        on_delete: told the id of each thread that a person deletes.
        review_url: tells the address of a thread's review page, with `[thread_id]` and `[step_id]` to fill in.
        caller: tells who asks: another person's thread is answered as one that is not there.
        steps_shown: of how many steps at the most a thread is shown, whole turns from its end.
    """

    def __init__(
        self,
        api: LiteralAPI,
        outbox: Reports,
        on_delete: Callable[[str], None],
        review_url: Callable[[], Awaitable[str]],
        caller: ContextVar[Caller],
        *,
        steps_shown: int,
    ) -> None:
        self._api = api
        self._outbox = outbox
        self._on_delete = on_delete
        self._find_review_url = review_url
        self._caller = caller
        self._review_url = ""
        self._steps_shown = steps_shown
        self._users: OrderedDict[str, PersistedUser] = OrderedDict()
        self._down_until = 0.0

    async def _read(self, question: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """Ask the server while a page waits: for so long at most, and not at all just after it gave no answer.

        Raises RecordingError.
        """
        if time.monotonic() < self._down_until:
            raise UnreachableError("the recording server gave no answer a moment ago")
        try:
            async with asyncio.timeout(seconds or SHORT_SECONDS):
                return await question()
        except (TimeoutError, httpx.TransportError, UnreachableError) as error:
            self._down_until = time.monotonic() + DOWN_SECONDS
            raise UnreachableError(f"the recording server gave no answer: {error or type(error).__name__}") from error

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """Return a known user; asked on every request, so remembered.

        While the server cannot be asked, the name stands in for the id: the server takes either, and the person can go
        on talking.
        """
        if identifier in self._users:
            return self._users[identifier]
        try:
            user = await self._read(lambda: self._api.get_user(identifier=identifier))
        except RecordingError as error:
            logger.warning("User %s is not looked up: %s", identifier, error)
            return PersistedUser(id=identifier, identifier=identifier, createdAt="")
        return self._remember(user) if user else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """Return the stored user of this name, made now if there is none. Raises RecordingError."""
        found = await self._read(lambda: self._api.get_user(identifier=user.identifier))
        if not found:
            found = await self._read(lambda: self._api.create_user(identifier=user.identifier))
        return self._remember(found)

    def _remember(self, stored: StoredUser) -> PersistedUser:
        user = PersistedUser(
            id=stored.id or "",
            identifier=stored.identifier or "",
            metadata=stored.metadata or {},
            createdAt=stored.created_at or "",
        )
        self._users[user.identifier] = user
        if len(self._users) > USERS_REMEMBERED:
            self._users.popitem(last=False)
        return user

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def create_step(self, step_dict: StepDict) -> None:
        """Write a step that no turn owns, such as a message that a hook sends by itself."""
        if not _belongs_to_recorder(step_dict):
            self._outbox.put_step(to_literal(step_dict))

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def update_step(self, step_dict: StepDict) -> None:
        """Write such a step again."""
        if not _belongs_to_recorder(step_dict):
            self._outbox.put_step(to_literal(step_dict))

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def delete_step(self, step_id: str) -> None:
        """Delete a step."""
        self._outbox.put_deletion(step_id)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,  # noqa: ARG002 - Chainlit's signature; threads are not tagged with profiles
    ) -> None:
        """Write a thread's name, owner and the few session values worth keeping; wait a little until it is stored.

        Chainlit asks the sidebar to read the thread right after this.
        """
        kept = {key: metadata[key] for key in KEPT_SESSION_KEYS if metadata.get(key)} if metadata else None
        self._outbox.put_thread(thread_id, name=name, participant=user_id, metadata=kept or None)
        await self._outbox.flush(STORED_SECONDS, thread_id)

    async def get_thread_author(self, thread_id: str) -> str:
        """Return the caller's name for an own thread, an empty text for one that is somebody else's or unknown."""
        owner = await self._read(lambda: self._stored_owner(thread_id))
        return owner if owner == self._caller.get().name else ""

    async def _stored_owner(self, thread_id: str) -> str:
        await self._outbox.flush(STORED_SECONDS, thread_id)  # the first question may have been asked a moment ago
        return await self._api.owner_of_thread(thread_id)

    async def has_step(self, step_id: str) -> bool:
        """Tell whether there is a step of this id, anybody's; none is known of while the server gives no answer."""
        return time.monotonic() >= self._down_until and await self._outbox.knows_step(step_id)

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread, after what is still on its way to it."""
        self._on_delete(thread_id)
        await self._outbox.flush(STORED_SECONDS, thread_id)
        await self._api.delete_thread(id=thread_id)

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[ThreadDict]:
        """Return a page of a user's threads, newest first; an empty one while the server cannot be asked."""
        wanted: list[dict[str, Any]] = [{"field": "participantId", "operator": "eq", "value": filters.userId}]
        if filters.search:
            wanted.append({"field": "stepOutput", "operator": "ilike", "value": filters.search, "path": "content"})
        if filters.feedback is not None:
            wanted.append({"field": "scoreValue", "operator": "eq", "value": filters.feedback, "path": "user-feedback"})
        try:
            page = await self._read(
                lambda: self._api.list_threads(
                    first=pagination.first,
                    after=pagination.cursor,
                    filters=wanted,  # type: ignore[arg-type]
                    order_by={"column": "createdAt", "direction": "DESC"},
                ),
                THREAD_SECONDS,
            )
        except RecordingError as error:
            logger.warning("The list of threads is empty: %s", error)
            return PaginatedResponse(pageInfo=PageInfo(False, None, None), data=[])
        info = page.page_info
        return PaginatedResponse(
            pageInfo=PageInfo(info.has_next_page, info.start_cursor, info.end_cursor),
            data=[thread_dict(thread, [], []) for thread in page.data],
        )

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return a thread of the caller's as Chainlit shows it, or None."""
        thread = await self._read(lambda: self._stored_thread(thread_id), THREAD_SECONDS)
        if thread is None or thread.participant_identifier != self._caller.get().name:
            return None
        steps, earlier = last_turns(living(thread.steps or []), self._steps_shown)
        shown = with_thumbs([chainlit_step(step.to_dict()) for step in steps])
        notice = [await self._notice(thread, earlier)] if earlier else []
        elements = [element_dict(one, thread.id) for step in steps for one in step.attachments or []]
        return thread_dict(thread, [*notice, *shown], elements)

    async def _notice(self, thread: Thread, earlier: int) -> StepDict:
        """Return a first message that says what of a long thread is not shown, and where it is."""
        at = datetime.fromisoformat(thread.created_at or "1970-01-01T00:00:00Z")
        page = (await self.build_debug_url()).partition("?")[0].replace("[thread_id]", thread.id)
        where = f"[read the whole thread in the record]({page})" if page else "they are in the record"
        turns = "1 earlier turn is" if earlier == 1 else f"{earlier} earlier turns are"
        text = f"*{turns} not shown here, but not forgotten: {where}.*"
        step_id = message_id(f"earlier turns of {thread.id}")
        return chainlit_step(message_step(thread.id, step_id, "assistant_message", ASSISTANT, text, at))

    async def _stored_thread(self, thread_id: str) -> Thread | None:
        await self._outbox.flush(STORED_SECONDS, thread_id)
        return await self._api.get_thread(id=thread_id)

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Never called: a route of ours stands before Chainlit's, because it knows who gives the feedback."""
        raise NotImplementedError

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Never called, as above."""
        raise NotImplementedError

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def create_element(self, element: Element) -> None:
        """Store an element that a hook or a tool shows, with its file; it hangs on the step that it is shown at.

        Where the file cannot be stored, what is known of the element is recorded without it.
        """
        if not element.for_id:
            return
        object_key = None
        try:
            if not element.url:
                content = await asyncio.to_thread(content_of, element)
                stored = await self._api.upload_file(content, element.thread_id, element.mime)
                object_key = stored["object_key"]
        except (RecordingError, OSError, ValueError) as error:
            logger.warning("The file of the element %r is not recorded: %s", element.name, error)
        kept = {name: getattr(element, attribute, None) for name, attribute in ELEMENT_METADATA.items()}
        attachment = {
            "id": element.id,
            "name": element.name,
            "mime": element.mime,
            "url": element.url,
            "objectKey": object_key,
            "metadata": {name: value for name, value in kept.items() if value is not None},
        }
        self._outbox.put_step({"id": element.for_id, "threadId": element.thread_id, "attachments": [attachment]})

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """Return an element of one of the caller's threads, or None."""
        if not await self.get_thread_author(thread_id):
            return None
        await self._outbox.flush(STORED_SECONDS, thread_id)
        found = await self._read(lambda: self._api.get_attachment(id=element_id))
        return element_dict(found, thread_id) if found is not None and found.thread_id == thread_id else None

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Delete an element of one of the caller's threads; what is somebody else's stays."""
        if thread_id and await self.get_element(thread_id, element_id):
            await self._api.delete_attachment(id=element_id)

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:  # noqa: ARG002 - favourites are switched off
        """Return nothing: favourites are switched off."""
        return []

    async def build_debug_url(self) -> str:
        """Return the review page's address, which the chat links each message to."""
        if not self._review_url:
            try:
                self._review_url = await self._read(self._find_review_url)
            except (httpx.HTTPError, ValueError, KeyError, RecordingError) as error:
                logger.warning("The chat has no links to the review pages: %s", error)
        return self._review_url

    async def close(self) -> None:
        """Do nothing: the outbox is flushed by the app's own shutdown."""


def _belongs_to_recorder(step: StepDict) -> bool:
    kind, name = step.get("type"), step.get("name")
    return (
        kind == "user_message"
        or (kind == "run" and name in CL_RUN_NAMES)
        or (kind == "assistant_message" and step.get("output") == STOP_NOTICE)
    )
