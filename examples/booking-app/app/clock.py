"""Moments are kept in UTC, without a zone."""

from datetime import datetime, timezone


def to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment
    return moment.astimezone(timezone.utc).replace(tzinfo=None)
