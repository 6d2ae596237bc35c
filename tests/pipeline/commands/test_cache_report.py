from __future__ import annotations

from pathlib import Path

import pytest

from cache.upkeep.status import CacheStatus, SetStatus
from pipeline.commands.cache_report import format_size, format_status


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (10**9, "1.0 GB"),
        (25 * 10**14, "2500.0 TB"),
    ],
)
def test_sizes_have_a_unit_that_fits(num_bytes: int, expected: str) -> None:
    assert format_size(num_bytes) == expected


def test_columns_line_up_and_notes_follow() -> None:
    sets = tuple(
        SetStatus(
            name=name,
            folder=f"{name}-0123456789abcdef",
            key="0" * 64,
            created="",
            untrained=name == "ir50",
            ok=ok,
            partial=2,
            failed=0,
            damaged=0,
            bytes=1000,
            steps=3,
            orphaned=(),
            newer=None,
            differences=(),
            manifest={"clips": 7, "done": 5, "failed": 0, "missing": 2, "others": 0},
        )
        for name, ok in (("ir50", 5), ("resnet18", 12345))
    )
    status = CacheStatus(Path("c"), sets, {}, 0, 0, {}, 0, 0, 0)
    header, first, second, note, packs = format_status(status).splitlines()
    assert len(header) == len(first) == len(second)
    ends = [
        line.index(text) + len(text)
        for line, text in zip((header, first, second), (" ok ", " 5 ", " 12345 "), strict=True)
    ]
    assert len(set(ends)) == 1
    assert first.split()[-3:] == ["5", "0", "2"]
    assert note == "ir50-0123456789abcdef: untrained (random weights)"
    assert packs == "0 packs, 0 B"
