from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from cache.sets.feature_set import find_set
from pipeline.extract.plan import plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import StageOneSettings


@pytest.mark.slow
def test_what_the_decoder_remarks_stands_in_the_entry_and_makes_nothing_partial(
    data: Path, tmp_path: Path
) -> None:
    path = data / "clips" / "odd" / "declares_18_decodes_17.mp4"
    plan = plan_sets(["faces"], StageOneSettings(), {}, cache=tmp_path, device="cpu")
    run_extract((Clip("a", path),), plan, jobs=0)
    entry = find_set(tmp_path, "faces").read("a")
    assert entry.attributes["notes"] == ["edit list: 1 of 18 declared frames are hidden by it"]
    assert entry.attributes["problems"] == []
    assert not [why for why in entry.missing if "hidden" in why]
    assert (entry.attributes["declared_frames"], entry.attributes["decoded_frames"]) == (18, 17)
