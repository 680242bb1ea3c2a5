"""When a photo was taken: what the camera wrote into it, else a date in its file's name."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

FIRST_YEAR = 1826  # of the oldest photograph that still exists
# Year, month, day with one kind of separator or none, then perhaps a time of day: IMG_20190314_120102.jpg,
# IMG-20190314-WA0001.jpg (WhatsApp: the day it was sent), 2019-03-14 12.01.02.jpg, PXL_20190314_120102345.jpg.
DATE = re.compile(
    r"(?<!\d)(?P<year>(?:18|19|20)\d\d)(?P<gap>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=gap)(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:[-_ T.]+(?:at )?(?P<hour>[01]\d|2[0-3])[-_.h]?(?P<minute>[0-5]\d)[-_.m]?(?P<second>[0-5]\d)\d{0,3}(?!\d)"
    r"|(?!\d))"
)
# What cameras say whose clock was never set.
RESET = re.compile(r"(1970|1980|2000)-01-01 00:0\d")


def taken(exif: datetime | None, name: str) -> tuple[datetime | None, str | None]:
    """When the photo was taken and how that is known: "exif", "file name", or None for not at all.

    exif: in the camera's own time; name: of the file, without folders. An EXIF date that can't be (before photography,
    after tomorrow, a clock that was never set) does not count.
    """
    if exif is not None and possible(exif) and not RESET.match(str(exif)):
        return exif, "exif"
    found = date_in_name(name)
    return (found, "file name") if found else (None, None)


def date_in_name(name: str) -> datetime | None:
    """The first possible date in a file's name; noon if it has no time of day."""
    for match in DATE.finditer(name):
        time = [int(match[part]) if match["hour"] else 0 for part in ("hour", "minute", "second")]
        hour, minute, second = time if match["hour"] else (12, 0, 0)
        try:
            date = datetime(int(match["year"]), int(match["month"]), int(match["day"]), hour, minute, second)
        except ValueError:  # the 31st of February
            continue
        if possible(date):
            return date
    return None


def possible(date: datetime) -> bool:
    """Whether a photo can have been taken then."""
    return date.year >= FIRST_YEAR and date < datetime.now() + timedelta(days=1)
