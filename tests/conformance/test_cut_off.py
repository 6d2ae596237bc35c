"""Files that end too early: partial and said so; whole files, and what only looks short, never."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.media.frames import VideoReader
from pipeline.media.sound import read_waveform
from tests.conformance.making import Recipe, Studio, first_bytes, h264, plain, x264_like
from tests.pipeline.command import avfuse

AAC = ("-c:a", "aac")
MP3 = ("-c:a", "libmp3lame")
MPEG4 = x264_like("mpeg4", 12, 0, "-q:v", "3")
VP8 = plain("libvpx", "-g", "12", "-deadline", "realtime", "-b:v", "1M")
FRONT = ("-movflags", "faststart")
PAGES = ("-page_duration", "200000")  # microseconds; else so short an Ogg is one page
# Files whose end is written down, or whose last packet says that it is longer.
PICTURES = {
    "mp4": Recipe(".mp4", h264(), AAC, also=FRONT),
    "mov": Recipe(".mov", h264(), AAC, also=FRONT),
    "mp4 without sound": Recipe(".mp4", h264(), also=FRONT),
    "mkv": Recipe(".mkv", h264(), AAC),
    "mkv without sound": Recipe(".mkv", h264()),
    "webm": Recipe(".webm", VP8, ("-c:a", "libopus")),
    "avi": Recipe(".avi", MPEG4, MP3),
    "avi without sound": Recipe(".avi", MPEG4),
    "flv": Recipe(".flv", h264(), AAC),
    "mxf": Recipe(".mxf", plain("mpeg2video", "-g", "12", "-q:v", "3"), ("-c:a", "pcm_s16le")),
    "wmv": Recipe(".wmv", plain("wmv2", "-g", "12", "-q:v", "3"), ("-c:a", "wmav2")),
}
SOUNDS = {
    "wav": Recipe(".wav", audio=("-c:a", "pcm_s16le")),
    "flac": Recipe(".flac", audio=("-c:a", "flac")),
    "mp3": Recipe(".mp3", audio=MP3),
    "m4a": Recipe(".m4a", audio=AAC, also=FRONT),
    "mka": Recipe(".mka", audio=("-c:a", "libopus")),
    "wma": Recipe(".wma", audio=("-c:a", "wmav2")),
    "ogg": Recipe(".ogg", audio=("-c:a", "libvorbis"), also=PAGES),
    "opus": Recipe(".opus", audio=("-c:a", "libopus"), also=PAGES),
    "aiff": Recipe(".aiff", audio=("-c:a", "pcm_s16be")),
    "au": Recipe(".au", audio=("-c:a", "pcm_s16be")),
    "caf": Recipe(".caf", audio=("-c:a", "pcm_s16le")),
    "w64": Recipe(".w64", audio=("-c:a", "pcm_s16le")),
}
# Whole files that look short: the sound or the picture is shorter by design, frames are dropped or
# hidden, or nothing is declared.
WHOLE = {
    **PICTURES,
    **SOUNDS,
    "sound half as long as the picture": Recipe(".mp4", h264(), AAC, seconds=1.2),
    "picture half as long as the sound": Recipe(".mkv", h264(), AAC, frames=30),
    "picture half as long in avi": Recipe(".avi", MPEG4, MP3, frames=30),
    "sound half as long in flv": Recipe(".flv", h264(), AAC, seconds=1.2),
    "sound that starts late": Recipe(".mkv", h264(), AAC, before_audio=("-itsoffset", "0.5")),
    "dropped frames in avi": Recipe(".avi", (*MPEG4, "-vf", "select='mod(n,10)'"), frames=50),
    "mp4 in fragments": Recipe(".mp4", h264(), AAC, also=("-movflags", "frag_keyframe+empty_moov")),
    "ts": Recipe(".ts", h264(), AAC),
    "mpg": Recipe(".mpg", x264_like("mpeg2video", 12, 2), ("-c:a", "mp2")),
    "ogv": Recipe(".ogv", plain("libtheora", "-g", "12"), ("-c:a", "libvorbis")),
    "nut": Recipe(".nut", h264(), AAC),
    "aac in adts": Recipe(".aac", audio=AAC),
    "wav to a pipe": Recipe(".wav", audio=("-c:a", "pcm_s16le"), also=("-write_bext", "1")),
    "mp3 without a header": Recipe(".mp3", audio=MP3, also=("-write_xing", "0")),
    "gif": Recipe(".gif", plain("gif", pix_fmt="rgb8")),
}
SHARES = (0.4, 0.9)
CUT_OFF = re.compile("declared|cut off")  # words of the sentences that say so


def problems_of_picture(path: Path) -> list[str]:
    reader = VideoReader(path)
    for _ in reader:
        pass
    return reader.problems


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("file", PICTURES)
def test_a_picture_that_is_cut_off_says_so(
    studio: Studio, file: str, share: float, tmp_path: Path
) -> None:
    path = first_bytes(studio.make(PICTURES[file]), share, tmp_path)
    assert problems_of_picture(path) != []


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("file", [*SOUNDS, *(name for name in PICTURES if PICTURES[name].audio)])
def test_sound_that_is_cut_off_says_so(
    studio: Studio, file: str, share: float, tmp_path: Path
) -> None:
    path = first_bytes(studio.make({**SOUNDS, **PICTURES}[file]), share, tmp_path)
    waveform = read_waveform(path)
    assert waveform is not None
    assert waveform.problems != ()


@pytest.mark.parametrize("file", WHOLE)
def test_a_whole_file_is_never_called_cut_off(studio: Studio, file: str) -> None:
    path = studio.make(WHOLE[file])
    if WHOLE[file].video:
        # A program stream may lack the stamp of a frame, which is said and is no cut.
        assert [p for p in problems_of_picture(path) if CUT_OFF.search(p)] == []
    waveform = read_waveform(path)
    if WHOLE[file].audio:
        assert waveform is not None
        assert waveform.problems == ()


@pytest.fixture(scope="module")
def reported(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Words of the command ``extract`` for every file, whole and cut off: its state and reasons."""
    words = {}
    for recipes, sets in ((PICTURES, "faces,logmel"), (SOUNDS, "logmel")):
        folder = tmp_path_factory.mktemp("extracted")
        rows = ["clip,path"]
        for name, recipe in recipes.items():
            for share in (1.0, 0.4):
                path = first_bytes(studio.make(recipe), share, folder)
                rows.append(f"{clip_id(name, share)},{path.name}")
        manifest = folder / "manifest.csv"
        manifest.write_text("\n".join(rows) + "\n")
        avfuse("extract", manifest, "--cache", folder, "--sets", sets, "--jobs", "0")
        report = json.loads((folder / "extract-report.json").read_text())
        for clip in report["clips"]:
            whys = [why for result in clip["sets"].values() for why in result["why"]]
            words[clip["clip"]] = "; ".join([clip["state"], *whys])
    return words


def clip_id(file: str, share: float) -> str:
    return f"{file.replace(' ', '-')}-{share:g}"


@pytest.mark.parametrize("file", [*PICTURES, *SOUNDS])
def test_extract_says_what_is_declared_and_missing(reported: dict[str, str], file: str) -> None:
    # An Ogg declares no length: its last page is longer than what is left of it.
    words = reported[clip_id(file, 0.4)]
    assert words.startswith("partial")
    assert CUT_OFF.search(words)


@pytest.mark.parametrize("file", [*PICTURES, *SOUNDS])
def test_extract_finds_nothing_missing_in_a_whole_file(reported: dict[str, str], file: str) -> None:
    # The known picture has no face, so that the state is partial all the same.
    assert not CUT_OFF.search(reported[clip_id(file, 1.0)])
