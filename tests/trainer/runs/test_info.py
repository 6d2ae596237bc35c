from __future__ import annotations

from cache.entries.coverage import Coverage
from trainer.runs.info import measure_run_coverage


def test_a_run_says_in_how_many_frames_of_its_clips_there_was_a_face() -> None:
    coverage = {
        "a": Coverage({"detect": 3, "whole": 0}, 0.0),
        "b": Coverage({"hold": 2, "whole": 4}, 0.4),
    }
    found = measure_run_coverage({"ir50": coverage, "spectrogram": {}})
    assert list(found) == ["ir50"]
    assert (found["ir50"]["frames"], found["ir50"]["frames_with_face"]) == (9, 5)
    assert (found["ir50"]["frames_seen"], found["ir50"]["frames_followed"]) == (3, 2)
    assert found["ir50"]["longest_gap_clip"] == "b"
    assert set(found["ir50"]["per_clip"]) == {"a", "b"}
    assert found["ir50"]["per_clip"]["b"] == {
        "frames": 6,
        "frames_with_face": 2,
        "frames_seen": 0,
        "frames_followed": 2,
        "rungs": {"hold": 2, "whole": 4},
        "longest_gap_seconds": 0.4,
        "upright": 0,
    }
