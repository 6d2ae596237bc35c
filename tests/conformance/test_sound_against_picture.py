"""Sound against picture, within 5 ms, whatever starts late; and cuts where the whole has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.sound import read_waveform
from tests.conformance.making import Recipe, Studio, h264, plain, x264_like
from tests.conformance.reading import see
from tests.conformance.reference import frame_times
from tests.conformance.signals import delays_of

CLOSE = 0.005  # seconds
MPEG2 = x264_like("mpeg2video", 12, 2, "-q:v", "3")
MPEG4 = x264_like("mpeg4", 12, 0, "-q:v", "3")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov")
FILES = {
    "aac in mp4": Recipe(".mp4", h264(), ("-c:a", "aac")),
    "aac in mp4 in fragments": Recipe(".mp4", h264(), ("-c:a", "aac"), also=FRAGMENTS),
    "mp3 in mp4": Recipe(".mp4", h264(), ("-c:a", "libmp3lame")),
    "ac3 in mp4": Recipe(".mp4", h264(), ("-c:a", "ac3")),
    "pcm in mov": Recipe(".mov", h264(), ("-c:a", "pcm_s16le")),
    "aac in mov": Recipe(".mov", h264(), ("-c:a", "aac")),
    "aac in mkv": Recipe(".mkv", h264(), ("-c:a", "aac")),
    "opus in mkv": Recipe(".mkv", h264(), ("-c:a", "libopus")),
    "flac in mkv": Recipe(".mkv", h264(), ("-c:a", "flac")),
    "mp3 in mkv": Recipe(".mkv", h264(), ("-c:a", "libmp3lame")),
    "opus in webm": Recipe(
        ".webm", plain("libvpx", "-g", "12", "-deadline", "realtime"), ("-c:a", "libopus")
    ),
    "vorbis in webm": Recipe(
        ".webm", plain("libvpx", "-g", "12", "-deadline", "realtime"), ("-c:a", "libvorbis")
    ),
    "vorbis in ogv": Recipe(".ogv", plain("libtheora", "-g", "12"), ("-c:a", "libvorbis")),
    "pcm in avi": Recipe(".avi", MPEG4, ("-c:a", "pcm_s16le")),
    "mp3 in avi": Recipe(".avi", MPEG4, ("-c:a", "libmp3lame")),
    "ac3 in avi": Recipe(".avi", MPEG4, ("-c:a", "ac3")),
    "aac in ts": Recipe(".ts", h264(), ("-c:a", "aac")),
    "mp2 in ts": Recipe(".ts", MPEG2, ("-c:a", "mp2")),
    "ac3 in m2ts": Recipe(".m2ts", h264(), ("-c:a", "ac3")),
    "mp2 in ps": Recipe(".mpg", MPEG2, ("-c:a", "mp2")),
    "ac3 in vob": Recipe(".vob", MPEG2, ("-c:a", "ac3")),
    "aac in flv": Recipe(".flv", h264(), ("-c:a", "aac")),
    "mp3 in flv": Recipe(".flv", h264(), ("-c:a", "libmp3lame", "-ar", "44100")),
    "wma in wmv": Recipe(".wmv", plain("wmv2", "-g", "12", "-q:v", "3"), ("-c:a", "wmav2")),
    "pcm in mxf": Recipe(".mxf", MPEG2, ("-c:a", "pcm_s16le")),
    "pcm in nut": Recipe(".nut", h264(), ("-c:a", "pcm_s16le")),
}
# Seconds by which the sound starts behind the picture: half a second, or minus eight frames.
OFFSETS = {"together": 0.0, "sound late": 0.5, "picture late": -0.32}
# AVI and MXF begin all streams together. Of a fragmented MP4 whose picture starts late, ffmpeg puts
# the first fragment at 0.
ONE_START = ("aac in mp4 in fragments", "pcm in avi", "mp3 in avi", "ac3 in avi", "pcm in mxf")
FILES_X_OFFSETS = [
    (file, offset)
    for file in FILES
    for offset in OFFSETS
    if offset == "together" or file not in ONE_START
]
# An AVI can't state an encoder's delay: AC-3's is 256 samples of 48 kHz. For MP3's, ffmpeg moves
# the picture from the second frame on by 40 ms, and the sound by 23. Into Matroska ffmpeg writes
# Opus' delay of 6.5 ms, and leaves the stamps where they were without it.
DELAYS = {
    "ac3 in avi": 0.0053,
    "mp3 in avi": -0.017,
    "opus in mkv": -0.007,
    "opus in webm": -0.007,
}
CUTS = {
    "early": Span(0.3, 1.3),
    "late": Span(1.33, 2.21),
    "to the end": Span(1.2, None),
}


def shifted(recipe: Recipe, offset: float) -> Recipe:
    """Let the sound or the picture start late."""
    late = ("-itsoffset", str(abs(offset)))
    values = {**vars(recipe)}
    if offset > 0:
        values["before_audio"] = late
    elif offset < 0:
        values["before_video"] = late
    return Recipe(**values)


def hear(path: Path, span: Span = WHOLE_FILE) -> np.ndarray:
    """Tell by how much the sound of a clip comes later on its axis than in the source."""
    waveform = read_waveform(path, span=span)
    assert waveform is not None
    delays = delays_of(waveform.samples, waveform.start_seconds)
    assert len(delays) >= 2
    return delays


@pytest.mark.parametrize(("file", "offset"), FILES_X_OFFSETS)
def test_sound_stays_with_its_picture(studio: Studio, file: str, offset: str) -> None:
    path = studio.make(shifted(FILES[file], OFFSETS[offset]))
    seen = see(path)
    lateness = seen.times - np.array(seen.numbers) / 25  # of the picture on the clip's axis
    delays = hear(path)
    wanted = np.median(lateness) + OFFSETS[offset] + DELAYS.get(file, 0.0)
    assert delays == pytest.approx(wanted, abs=CLOSE)
    steps = frame_times(path) - frame_times(path)[0]
    stamped = np.isfinite(steps)
    assert (seen.times - seen.times[0])[stamped] == pytest.approx(steps[stamped], abs=0.0011)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("file", FILES)
def test_a_cut_of_sound_lies_where_the_whole_has_it(studio: Studio, file: str, cut: str) -> None:
    path = studio.make(FILES[file])
    span = CUTS[cut]
    delays = hear(path, span)
    assert delays == pytest.approx(np.median(hear(path)) - span.begin, abs=CLOSE / 2)


@pytest.mark.parametrize(("file", "offset"), FILES_X_OFFSETS)
def test_a_cut_keeps_sound_and_picture_together(studio: Studio, file: str, offset: str) -> None:
    path = studio.make(shifted(FILES[file], OFFSETS[offset]))
    span = CUTS["late"]
    whole, part = see(path), see(path, span)
    inside = (whole.times >= span.begin - 1e-6) & (whole.times < span.begin + 0.88 - 1e-6)
    assert np.array_equal(part.images, whole.images[inside])
    assert part.times == pytest.approx(whole.times[inside] - span.begin, abs=1e-6)
    lateness = np.median(part.times - np.array(part.numbers) / 25)
    wanted = lateness + OFFSETS[offset] + DELAYS.get(file, 0.0)
    assert hear(path, span) == pytest.approx(wanted, abs=CLOSE)
