"""Numbers, times and counts as people, spreadsheet programs, pandas and R write them."""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(r"-?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"-?[1-9][0-9]{0,2},[0-9]{3}")
_WHOLE = re.compile(r"([0-9]{1,9})([.,]0*)?")
_SPOILT = re.compile(r"[0-9]+[.,]0+|[0-9]([.,][0-9]+)?[eE]\+[0-9]+")
_CLOCK = re.compile(
    r"(?:([0-9]{1,3}) days? )?(?:(?:([0-9]{1,3}):)?([0-9]{1,3}):)([0-9]{1,2}(?:[.,][0-9]*)?)"
)


def read_number(text: str, *, delimiter: str = ",") -> float | None:
    """Read a number with a decimal point or a decimal comma.

    Args:
        text: for example ``1.5``, ``1,5``, ``-2``, ``.5``, ``1e-3``; without blanks.
        delimiter: what stands between the fields of its table. Only where that is ``;`` can the
            comma of ``1,500`` be nothing but decimal.

    Returns:
        The number, or None where it is none or could be two: ``1,500`` is 1.5 or 1500.
    """
    if not _NUMBER.fullmatch(text) or (delimiter != ";" and _THOUSANDS.fullmatch(text)):
        return None
    return float(text.replace(",", "."))


def read_seconds(text: str, *, delimiter: str = ",") -> float | None:
    """Read seconds: a number as ``read_number`` does, or hours, minutes and seconds.

    ``0:01.5``, ``00:00:01.5``, ``00:00:01,500`` and ``0 days 00:00:01.500000`` are 1.5 s; ``1:05``
    is 65 s. Minutes beside hours, and seconds beside minutes, are below 60.

    Returns:
        The seconds, or None where it is no time or could be two.
    """
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return read_number(text, delimiter=delimiter)
    days, hours, minutes = (int(part or 0) for part in clock.groups()[:3])
    seconds = Decimal(clock[4].replace(",", "."))
    if seconds >= 60 or (clock[2] and minutes >= 60):
        return None
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def read_whole(text: str) -> int | None:
    """Read a whole number from 0 on, ``1.0`` and ``1,0`` being 1; None where it is none."""
    whole = _WHOLE.fullmatch(text)
    return int(whole[1]) if whole else None


def is_spoilt(text: str) -> bool:
    """Tell whether a program made a number of a name: ``1.0`` of 1, ``1E+05`` of 100000."""
    return text[:1].isdigit() and bool(_SPOILT.fullmatch(text))
