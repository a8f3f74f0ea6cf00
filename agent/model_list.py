"""The models that an endpoint lists, asked for now and then."""

import asyncio
import logging
import re
import time

from agent.model import ChatModel

logger = logging.getLogger(__name__)

SECONDS_TO_ASK = 3.0
SECONDS_FRESH = 300.0
SECONDS_UNTIL_ASKED_AGAIN = 30.0
MAX_MODELS = 500
NO_CHAT = re.compile(r"embed|whisper|\btts\b|dall-e|moderation|transcri|rerank|-image|realtime|sora", re.IGNORECASE)
"""Names of models that say themselves that they do not chat; an endpoint tells nothing else of what one can do."""


class ModelList:
    """The names of the models behind one endpoint; the app's own is always among them, and first."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self._names: list[str] = []
        self._stale_at = 0.0
        self._asking = asyncio.Lock()

    @property
    def default(self) -> str:
        """The app's own model."""
        return self._model.name

    async def names(self) -> list[str]:
        """Return the names; only the app's own where the endpoint lists none, or does not answer soon."""
        async with self._asking:
            if time.monotonic() >= self._stale_at:
                await self._ask()
        return [self.default, *(name for name in self._names if name != self.default)]

    @property
    def known(self) -> bool:
        """Whether the endpoint has said what it has: if not, a name that is not listed may well be one."""
        return bool(self._names)

    async def _ask(self) -> None:
        try:
            listed = await self._model.listed(SECONDS_TO_ASK)
        except ConnectionError as error:
            logger.warning("The model server's list of models is not to be had: %s", error)
            self._stale_at = time.monotonic() + SECONDS_UNTIL_ASKED_AGAIN
            return
        self._names = sorted(name for name in listed if not NO_CHAT.search(name))[:MAX_MODELS]
        self._stale_at = time.monotonic() + SECONDS_FRESH
