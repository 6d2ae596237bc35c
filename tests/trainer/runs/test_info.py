from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.entries.coverage import Coverage
from cache.entries.source import Source
from cache.sets.feature_set import FeatureSet, SetSpec
from trainer.runs.info import measure_run_coverage

SOURCE = Source(1, 2, "0" * 64)


def test_a_run_says_in_how_many_frames_of_its_clips_there_was_a_face(tmp_path: Path) -> None:
    for name in ("ir50", "spectrogram"):
        made = FeatureSet(tmp_path, SetSpec(name, {}, 1)).create({})
        for clip, num, gap in (("a", 3, 0.0), ("b", 2, 0.4), ("other", 5, 0.0)):
            coverage = Coverage({"detect": num, "whole": round(gap * 10)}, gap)
            with made.writer(clip, source=SOURCE, provenance={}) as writer:
                writer.append(times=np.arange(3.0))
                facts = {"coverage": coverage.to_json()} if name == "ir50" else None
                writer.finish(facts=facts)
    found = measure_run_coverage(tmp_path, ["ir50", "spectrogram"], ["a", "b", "failed"])
    assert list(found) == ["ir50"]
    assert (found["ir50"]["frames"], found["ir50"]["frames_with_face"]) == (9, 5)
    assert found["ir50"]["longest_gap_clip"] == "b"
    assert set(found["ir50"]["per_clip"]) == {"a", "b"}
    assert found["ir50"]["per_clip"]["b"] == {
        "frames": 6,
        "frames_with_face": 2,
        "rungs": {"detect": 2, "whole": 4},
        "longest_gap_seconds": 0.4,
    }
