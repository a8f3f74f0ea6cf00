"""Moments as whole microseconds since 1970 in UTC, so that their order is exact, and their text on the wire."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> int:
    """Answer the present moment in microseconds."""
    return time.time_ns() // 1_000


def parse_time(text: object) -> int:
    """Read an ISO 8601 moment: `Z` or an offset, a `T` or a blank, any number of fraction digits; UTC when naive.

    Raises ValueError when it is no such text.
    """
    if not isinstance(text, str):
        raise ValueError(f"A moment is a text such as 2025-01-31T12:00:00.000Z, not {text!r}.")
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        # In UTC first: an offset can push a moment out of the years that can be written.
        return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise ValueError(f"A moment is a text such as 2025-01-31T12:00:00.000Z, not {text[:80]!r}.") from error


def format_time(moment: int) -> str:
    """Write a moment with six fraction digits and `Z`: texts sort as the moments do."""
    return to_datetime(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)


def to_datetime(moment: int) -> datetime:
    """Answer the moment as an aware datetime in UTC."""
    return _EPOCH + moment * _MICROSECOND
