"""The time now, anywhere."""

import zoneinfo
from datetime import datetime


def get_current_time(timezone: str = "UTC") -> dict[str, str]:
    """Get the current date and time in a time zone.

    Args:
        timezone: The IANA name of the zone, e.g. Asia/Tokyo or America/New_York.
    """
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: the name of a folder
        raise LookupError(f"{timezone!r} is no IANA time zone; they read like Asia/Tokyo, or UTC.") from error
    moment = datetime.now(zone)
    return {"timezone": timezone, "time": moment.isoformat(timespec="seconds"), "weekday": f"{moment:%A}"}
