from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.workers.pool import WorkerDied, map_clips
from pipeline.workers.pulse import Pace, Pulse, begin_clip, count_frames, shown_here


@dataclass(frozen=True)
class Clip:
    id: str


def work(clip: Clip) -> str:
    """Do 5 of 10 frames, 2 with a face, then wait until the parent has seen it; do the rest."""
    begin_clip(10)
    count_frames(3)
    count_frames(2, with_face=2)
    count_frames(2, again=True)
    deadline = time.monotonic() + 60
    while not Path(clip.id).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    count_frames(3)
    return clip.id


def failed(clip: Clip, died: WorkerDied) -> str:
    return f"{clip.id}: {died}"


def test_a_pace_adds_up_those_that_work_and_those_that_ended() -> None:
    working = [Pulse(11, 7, 3, 12), Pulse(5, 0, 20, 10), Pulse(2, 1, 2, 0)]
    pace = Pace.of(working, [Pulse(100, 50, 8, 8)])
    assert (pace.frames, pace.with_face, pace.working) == (118, 58, 3)
    assert pace.in_work == pytest.approx(0.25 + 0.99 + 0)  # a clip isn't done before it is


@pytest.mark.slow
def test_a_parent_sees_the_frames_of_its_workers_while_they_work(tmp_path: Path) -> None:
    seen: list[Pace] = []

    def pace(now: Pace) -> None:
        seen.append(now)
        if now.frames == 10:  # 5 of each
            for clip in clips:
                Path(clip.id).touch()

    clips = [Clip(str(tmp_path / name)) for name in "ab"]
    results = list(map_clips(work, clips, jobs=2, failed=failed, pace=pace))
    assert sorted(results) == [clip.id for clip in clips]
    halfway = next(one for one in seen if one.frames == 10)
    assert halfway == Pace(frames=10, with_face=4, working=2, in_work=pytest.approx(2 * 0.7))


def test_a_process_that_works_by_itself_shows_its_own_pulse_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("pipeline.workers.pulse.time.monotonic", lambda: now)
    seen: list[Pace] = []
    with shown_here(seen.append):
        begin_clip(50)
        for _ in range(25):
            now += 0.0625
            count_frames(with_face=1)
    assert [one.frames for one in seen] == [
        1,
        5,
        9,
        13,
        17,
        21,
        25,
    ]  # after 0.2 s, so in every fourth
    assert seen[3] == Pace(13, 13, 1, pytest.approx(0.26))
    count_frames(1000)
    assert len(seen) == 7


def test_work_in_this_process_is_shown_and_nothing_is_after_it(tmp_path: Path) -> None:
    clips = [Clip(str(tmp_path / name)) for name in "ab"]
    for clip in clips:
        Path(clip.id).touch()
    seen: list[Pace] = []
    assert len(list(map_clips(work, clips, jobs=0, failed=failed, pace=seen.append))) == 2
    assert seen[0].working == 1
    number = len(seen)
    count_frames()
    assert len(seen) == number
