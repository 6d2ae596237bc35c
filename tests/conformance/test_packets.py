"""Every packet: repeated and dropped frames, lost packets, corrupt bytes in the middle."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from tests.conformance.making import Recipe, Studio, h264, plain, x264_like
from tests.conformance.reading import see
from tests.conformance.reference import frame_times, pixels
from tests.conformance.signals import HEIGHT, WIDTH, number_of, numbers_of

STAMPS = 0.0011  # seconds
MPEG4 = x264_like("mpeg4", 12, 0, "-q:v", "3")
MJPEG = plain("mjpeg", "-q:v", "3", pix_fmt="yuvj420p")
FFV1 = plain("ffv1", "-level", "3", "-g", "1", "-slicecrc", "1", "-slices", "4")
# Codecs whose every frame stands alone, so that what is left after damage is determinate.
ALONE = {
    "mjpeg in avi": Recipe(".avi", MJPEG),
    "mjpeg in mkv": Recipe(".mkv", MJPEG),
    "mjpeg in mov": Recipe(".mov", MJPEG),
    "ffv1 in mkv": Recipe(".mkv", FFV1),
    "prores in mov": Recipe(".mov", plain("prores_ks", pix_fmt="yuv422p10le")),
    "h264 in mp4": Recipe(".mp4", h264(gop=1, b_frames=0)),
    "h264 in ts": Recipe(".ts", h264(gop=1, b_frames=0)),
    "mpeg2 in ts": Recipe(".ts", x264_like("mpeg2video", 1, 0, "-q:v", "3")),
}
# Packets that are dropped, as FFmpeg's bitstream filter reads it, and in Python.
LOST = {
    "every fifth": ("not(mod(n-3,5))", lambda n: n % 5 == 3),
    "ten in a row": ("between(n,20,29)", lambda n: 20 <= n <= 29),
    "the first": ("eq(n,0)", lambda n: n == 0),
    "the last three": ("gte(n,57)", lambda n: n >= 57),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("file", ALONE)
def test_frames_around_lost_packets_keep_their_numbers_and_times(
    studio: Studio, file: str, lost: str
) -> None:
    drop, is_lost = LOST[lost]
    whole = studio.make(ALONE[file])
    words = ("-i", str(whole), "-c", "copy", "-bsf:v", f"noise=drop='{drop}'")
    path = studio.run(*words, suffix=ALONE[file].suffix)
    seen = see(path)
    kept = [n for n in range(60) if not is_lost(n)]
    assert seen.numbers == kept
    stamps = frame_times(path)
    assert len(stamps) == len(kept)
    assert seen.times == pytest.approx(stamps, abs=STAMPS)


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("suffix", [".ogv", ".mkv"])
def test_repeated_frames_of_theora_are_frames(studio: Studio, suffix: str, count: int) -> None:
    theora = plain("libtheora", "-g", "24", "-q:v", "8")
    still = ("-vf", f"select='not(mod(n,{count}))',fps=25:round=up,format=yuv420p")
    path = studio.make(Recipe(suffix, (*theora, *still), frames=50))
    seen = see(path)
    assert len(seen.numbers) == len(frame_times(path))
    assert seen.times == pytest.approx(frame_times(path), abs=STAMPS)
    assert seen.numbers == numbers_of(pixels(path, (HEIGHT, WIDTH)))
    assert seen.problems == ()


@pytest.mark.parametrize("keep", [2, 3, 10])
@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "msmpeg4"])
def test_frames_that_an_avi_drops_are_no_loss(studio: Studio, codec: str, keep: int) -> None:
    # Where an AVI's clock goes on without a frame, an empty packet stands.
    video = MJPEG if codec == "mjpeg" else plain(codec, "-g", "12", "-q:v", "3")
    numbers = [n for n in range(60) if n % keep != 1]
    select = ("-vf", f"select='1-eq(mod(n,{keep}),1)'")
    seen = see(studio.make(Recipe(".avi", (*video, *select), frames=len(numbers))))
    assert seen.numbers == numbers
    assert seen.times == pytest.approx(np.array(numbers) / 25, abs=STAMPS)
    assert seen.problems == ()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("file", ALONE)
def test_corrupt_bytes_in_the_middle_cost_at_most_the_frames_they_hit(
    studio: Studio, file: str, place: float
) -> None:
    data = bytearray(studio.make(ALONE[file]).read_bytes())
    begin = int(len(data) * place)
    data[begin : begin + 64] = bytes(64)
    path = studio.folder / f"corrupt-{place}-{ALONE[file].suffix.replace('.', file + '.')}"
    path.write_bytes(data)
    seen = see(path)
    right = 0
    for image, seconds in zip(seen.images, seen.times, strict=True):
        with contextlib.suppress(ValueError):  # a frame that was hit
            right += abs(number_of(image) / 25 - seconds) < STAMPS
    # 64 bytes reach into two frames, and in a transport stream into what follows in their packets.
    assert right >= 57
