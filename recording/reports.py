"""What those who record know of the outbox, be it in this process or in the one beside it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Reports(Protocol):
    """Takes what is to be recorded, and tells of what is on its way; `Outbox` says what each of these does."""

    def put_step(self, step: Mapping[str, Any], *, in_order: bool = False) -> None:
        """Put a step as far as it is known now."""

    def put_thread(
        self,
        thread_id: str,
        *,
        name: str | None = None,
        participant: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Put what is to be known of a thread."""

    def put_deletion(self, step_id: str) -> None:
        """Put the deletion of a step."""

    def put_score_deletion(self, score_id: str, thread_id: str) -> None:
        """Put the deletion of a score."""

    async def written(self) -> None:
        """Wait until all that was put is on disk, or is known not to get there."""

    async def flush(self, seconds: float, thread_id: str | None = None) -> bool:
        """Wait until the server has all that was put so far; returns whether it has after at most so long."""

    async def waiting_steps(self) -> Sequence[Mapping[str, Any]]:
        """Return the reports of steps that are not known to be stored yet."""

    async def waiting_score_deletions(self) -> set[str]:
        """Return the ids of the scores that are to be deleted."""

    async def knows_step(self, step_id: str) -> bool:
        """Tell whether there is a step of this id, stored or on its way."""
