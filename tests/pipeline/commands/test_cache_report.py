from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cache.entries.coverage import Coverage, add_coverage
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


def made_set(name: str, ok: int) -> SetStatus:
    return SetStatus(
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


def status_of(*sets: SetStatus) -> CacheStatus:
    return CacheStatus(Path("c"), sets, {}, 0, 0, {}, 0, 0, 0)


def test_columns_line_up_and_notes_follow() -> None:
    status = status_of(made_set("ir50", 5), made_set("resnet18", 12345))
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


def test_the_share_of_frames_that_were_only_followed_is_apart_from_the_seen_ones() -> None:
    covered = add_coverage({"a": Coverage({"detect": 5, "hold": 2, "whole": 1}, 0.04)})
    item = replace(made_set("faces", 1), coverage=covered, manifest=None)
    header, row, note, _ = format_status(status_of(item)).splitlines()
    assert header.split()[-2:] == ["faces", "seen"]
    assert row.split()[-2:] == ["87.5%", "62.5%"]
    assert note.endswith(
        "7 of 8 frames with a face (87.5%): seen in 5 (detect 5), followed in 2 (hold 2); "
        "longest gap 0.04 s, in a"
    )
