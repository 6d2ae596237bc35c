from __future__ import annotations

import pytest

from cache.manifest.numbers import read_number, read_seconds, read_whole

# Worked out by hand: None is no number, or one that could be two.
NUMBERS = {
    "1.5": 1.5, "1,5": 1.5, "1.": 1.0, ".5": 0.5, ",25": 0.25, "-2": -2.0, "1e-3": 0.001,
    "1,5E-05": 0.000015, "0,500": 0.5, "1,5000": 1.5, "1234,567": 1234.567, "1.500": 1.5,
    "1,500": None, "12,500": None, "-1,500": None, "1,500,000": None, "1.500,5": None,
    "": None, ".": None, "1_0": None, "٣": None, "inf": None, "nan": None, " 1": None, "1\n": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_a_number_is_read_with_a_point_or_an_unmistakable_comma(
    text: str, number: float | None
) -> None:
    assert read_number(text) == number
    assert read_seconds(text) == number


def test_only_a_table_with_semicolons_makes_every_comma_decimal() -> None:
    assert read_number("1,500", delimiter=";") == 1.5
    assert read_number("1,500", delimiter="\t") is None
    assert read_number("1,500,000", delimiter=";") is None


SECONDS = {
    "0:01.5": 1.5, "00:00:01.5": 1.5, "00:00:01,500": 1.5, "0 days 00:00:01.500000": 1.5,
    "1 day 01:00:00": 90000.0, "1:05": 65.0, "1:00:00.25": 3600.25, "75:03": 4503.0,
    "60:00.1": 3600.1, "0:00": 0.0,
    "0:60": None, "1:60:00": None, "-0:01": None, "0:01:02:03": None, "12:00:01 AM": None,
    ":1": None, "1.5:00": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), SECONDS.items())
def test_a_time_is_read_with_its_minutes_and_hours(text: str, seconds: float | None) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("7.0", 7), ("7,00", 7), ("7.", 7), ("7.5", None), ("-1", None),
     ("", None), ("1e3", None), ("1234567890", None), ("٣", None)],
)  # fmt: skip
def test_a_whole_number_may_have_a_decimal_zero(text: str, number: int | None) -> None:
    assert read_whole(text) == number
