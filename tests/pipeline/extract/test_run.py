from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.clip import Clip
from pipeline.extract import run
from pipeline.extract.run import Resources, Share, largest_first


@pytest.fixture(autouse=True)
def seven_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "num_cores", lambda: 7)


@pytest.mark.parametrize(
    ("asked", "clips", "device", "share"),
    [
        (Resources(), 100, "cpu", Share(jobs=7, threads=1, shared=False)),
        # Fewer clips than cores: the rest of the cores computes networks.
        (Resources(), 3, "cpu", Share(jobs=3, threads=2, shared=False)),
        (Resources(), 0, "cpu", Share(jobs=0, threads=7, shared=False)),
        # Who names the number of processes may have other uses for the other cores.
        (Resources(jobs=2), 100, "cpu", Share(jobs=2, threads=1, shared=False)),
        (Resources(jobs=2, threads=3), 100, "cpu", Share(jobs=2, threads=3, shared=False)),
        (Resources(), 100, "cuda", Share(jobs=7, threads=1, shared=True)),
        (Resources(), 100, "cuda:1", Share(jobs=7, threads=1, shared=True)),
        (Resources(consumer="own"), 100, "cuda", Share(jobs=7, threads=1, shared=False)),
        (Resources(consumer="shared"), 100, "cpu", Share(jobs=7, threads=1, shared=True)),
        # Without worker processes there is nobody to share with.
        (Resources(jobs=0), 100, "cuda", Share(jobs=0, threads=1, shared=False)),
    ],
)
def test_what_is_left_open_follows_from_cores_clips_and_device(
    asked: Resources, clips: int, device: str, share: Share
) -> None:
    assert asked.share(clips, device) == share


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="jobs must not be negative, got -1"):
        Resources(jobs=-1)
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        Resources(threads=0)
    with pytest.raises(ValueError, match="one of auto, shared, own, got 'mine'"):
        Resources(consumer="mine")  # type: ignore[arg-type]  # a wrong value is what is tested


def test_the_largest_clip_goes_first_and_one_that_is_not_there_last(tmp_path: Path) -> None:
    for name, size in (("small", 2_000), ("large", 500_000), ("film", 9_000_000)):
        (tmp_path / name).write_bytes(b"\0" * size)
    clips = [
        Clip("missing", tmp_path / "missing"),
        Clip("small", tmp_path / "small"),
        # 3 seconds of a film count by their length, not by the film's size.
        Clip("cut", tmp_path / "film", start_seconds=5.0, end_seconds=8.0),
        Clip("large", tmp_path / "large"),
        Clip("tiny cut", tmp_path / "small", end_seconds=11.0),
    ]
    order = [clip.id for clip in largest_first(clips)]
    assert order == ["large", "cut", "small", "tiny cut", "missing"]
