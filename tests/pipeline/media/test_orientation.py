from __future__ import annotations

import gc
from pathlib import Path

import av
import pytest

from pipeline.media.frames import VideoReader
from tests.pipeline.videos import grey_frame, write_video


@pytest.mark.slow
def test_a_decoded_frame_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [grey_frame(number) for number in range(11)])
    gc.collect()
    gc.disable()
    try:
        assert sum(len(frames) for frames in VideoReader(path)) == 11
        assert not [found for found in gc.get_objects() if type(found) is av.VideoFrame]
    finally:
        gc.enable()
