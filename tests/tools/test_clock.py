"""The time elsewhere."""

from datetime import UTC, datetime, timedelta

import pytest

from tools.clock import get_current_time


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_time_is_now(timezone: str) -> None:
    """The moment is the present one, told in the zone that was asked for."""
    told = get_current_time(timezone)

    moment = datetime.fromisoformat(told["time"])
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)
    assert told["timezone"] == timezone
    assert told["weekday"] == f"{moment:%A}"


def test_without_a_zone_it_is_utc() -> None:
    """Universal time is the default."""
    assert get_current_time()["time"].endswith("+00:00")


def test_a_zone_has_its_offset() -> None:
    """Tokyo is nine hours ahead all year."""
    assert get_current_time("Asia/Tokyo")["time"].endswith("+09:00")


@pytest.mark.parametrize("timezone", ["Atlantis", "", "Europe", "../../etc/passwd", "/etc/passwd", "a\0b", "a" * 400])
def test_what_is_no_zone_is_an_error_in_words(timezone: str) -> None:
    """Unknown names, folders, paths and rubbish are refused with a hint, and no file is read."""
    with pytest.raises(LookupError, match="Asia/Tokyo"):
        get_current_time(timezone)
