from __future__ import annotations

import functools
import re
import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.container import DecodeSettings, probe
from pipeline.media.declared import check_any_stream, find_cut_off, measure_ends
from pipeline.media.frames import MediaError, VideoReader
from pipeline.media.sizes import ASF_HEADER, EBML, LOOKS, SEGMENT, W64_DATA, find_shortage
from pipeline.media.sound import WaveformReader
from tests.pipeline.videos import read_all, write_sound, write_video, write_wav

RATE = 48_000
SECONDS = 2.4  # 60 frames
# Codecs of picture and sound by suffix.
VIDEOS = {
    "mkv": ("libx264", "aac"),
    "webm": ("libvpx", "libopus"),
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "3gp": ("mpeg4", "aac"),
    "flv": ("libx264", "aac"),
    "avi": ("mpeg4", "libmp3lame"),
    "wmv": ("wmv2", "libmp3lame"),
}
SOUNDS = {
    "wav": "pcm_s16le",
    "w64": "pcm_s16le",
    "aiff": "pcm_s16be",
    "au": "pcm_s16be",
    "caf": "pcm_s16le",
    "flac": "flac",
    "mp3": "libmp3lame",
}
ALL = [*VIDEOS, *SOUNDS]


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (channels, round(seconds * RATE))).astype(np.float32)


def write_alone(path: Path, codec: str, **options: str) -> Path:
    """Noise to hear, and nothing else."""
    with av.open(str(path), "w", options=options) as container:
        track: Any = container.add_stream(codec, rate=RATE)
        track.layout = "mono"
        write_sound(container, track, noise(SECONDS), RATE)
    return path


def write_media(
    folder: Path, suffix: str, *, picture: float = SECONDS, sound: float = SECONDS, **more: str
) -> Path:
    """Write noise to see and hear, so that bytes stand for time."""
    path = folder / f"a.{suffix}"
    path.write_bytes(encode(suffix, picture, sound, *more.items()))
    return path


@functools.cache
def encode(suffix: str, picture: float, sound: float, *more: tuple[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{suffix}"
        if suffix in SOUNDS:
            return write_alone(path, SOUNDS[suffix]).read_bytes()
        codec, sound_codec = VIDEOS[suffix]
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(round(picture * 25))]
        options = {"movflags": "faststart"} if suffix in ("mp4", "mov", "3gp") else {}
        write_video(
            path,
            images,
            codec=codec,
            sound=noise(sound),
            sound_rate=RATE,
            sound_codec=sound_codec,
            options={**options, **dict(more)},
        )
        return path.read_bytes()


INDEX_CUT = "the file's index is cut off: frames, or a whole stream, may be missing"


def keep(path: Path, share: float) -> Path:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


def sentences(path: Path, span: Span = WHOLE_FILE) -> tuple[str | None, str | None]:
    """What is said of picture and sound without decoding either."""
    info, settings = probe(path), DecodeSettings()
    return (
        find_cut_off(info, settings, "picture", span),
        find_cut_off(info, settings, "sound", span),
    )


def ends(sentence: str | None) -> tuple[float, float]:
    """The end and the declared length in a sentence."""
    found = re.fullmatch(r"the \w+ ends at (\d+\.\d\d) s of (\d+\.\d\d) s declared", sentence or "")
    assert found, sentence
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("suffix", ALL)
def test_a_whole_file_is_not_called_cut_off(tmp_path: Path, suffix: str) -> None:
    path = write_media(tmp_path, suffix)
    assert sentences(path) == (None, None)
    reader = WaveformReader(path)
    list(reader)
    assert (reader.cut_off, reader.problems) == ("", [])


@pytest.mark.parametrize("share", [0.3, 0.55])
@pytest.mark.parametrize("suffix", ALL)
def test_sound_that_is_cut_off_says_where(tmp_path: Path, suffix: str, share: float) -> None:
    path = keep(write_media(tmp_path, suffix), share)
    reader = WaveformReader(path)
    heard = reader.sound_start + sum(map(len, reader)) / 16_000
    end, declared = ends(reader.cut_off)
    assert reader.cut_off in reader.problems
    # A packet that is there but can't be decoded whole lies between the two.
    assert end == pytest.approx(heard, abs=0.1)
    assert declared == pytest.approx(SECONDS, abs=0.1)
    assert heard < SECONDS - 0.3


@pytest.mark.parametrize("share", [0.3, 0.55])
@pytest.mark.parametrize("suffix", VIDEOS)
def test_a_picture_that_is_cut_off_says_where(tmp_path: Path, suffix: str, share: float) -> None:
    path = keep(write_media(tmp_path, suffix), share)
    reader = VideoReader(path)
    times = read_all(reader).times
    said = [problem for problem in reader.problems if "declared" in problem and "ends" in problem]
    end, declared = ends(said[0] if said else None)
    assert end == pytest.approx(times[-1] + 0.04, abs=0.05)
    assert declared == pytest.approx(SECONDS, abs=0.1)
    undecoded = sentences(path)[0]
    assert ends(undecoded)[0] == pytest.approx(end, abs=0.05)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "flv", "avi", "wmv"])
@pytest.mark.parametrize(("picture", "sound"), [(2.4, 1.2), (1.2, 2.4)])
def test_a_stream_that_is_shorter_by_design_is_whole(
    tmp_path: Path, suffix: str, picture: float, sound: float
) -> None:
    path = write_media(tmp_path, suffix, picture=picture, sound=sound)
    assert sentences(path) == (None, None)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "flv"])
def test_only_the_stream_that_a_cut_hits_is_cut_off(tmp_path: Path, suffix: str) -> None:
    path = keep(write_media(tmp_path, suffix, sound=1.0), 0.85)
    picture, sound = sentences(path)
    assert ends(picture)[1] == pytest.approx(SECONDS, abs=0.1)
    assert sound is None


def test_an_index_that_is_cut_off_costs_nothing(tmp_path: Path) -> None:
    path = write_media(tmp_path, "mkv")
    path.write_bytes(path.read_bytes()[:-1])
    assert sentences(path) == (None, None)


def test_an_mp4_whose_index_is_cut_off_may_lack_anything(tmp_path: Path) -> None:
    path = write_media(tmp_path, "mp4", movflags="disable_chpl")  # and not faststart
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert sentences(path) == (INDEX_CUT, INDEX_CUT)
    # Of its first boxes no stream can be made out.
    path.write_bytes(content[: content.index(b"moov") + 160])
    with pytest.raises(MediaError, match="neither picture nor sound: it is cut off"):
        check_any_stream(probe(path))


def test_a_whole_file_without_a_stream_is_not_called_cut_off(tmp_path: Path) -> None:
    info = probe(write_media(tmp_path, "mkv"))
    with pytest.raises(MediaError, match=r"neither picture nor sound$"):
        check_any_stream(replace(info, video=None, audio=None))


def test_a_cut_before_the_end_of_what_is_there_is_whole(tmp_path: Path) -> None:
    path = keep(write_media(tmp_path, "mkv"), 0.6)
    assert sentences(path, Span(0.2, 1.0)) == (None, None)
    picture, sound = sentences(path, Span(0.2, 2.0))
    assert ends(picture)[0] == pytest.approx(1.45, abs=0.2)
    assert ends(sound)[1] == pytest.approx(SECONDS, abs=0.1)


def test_a_cut_behind_the_end_of_what_is_there_says_so(tmp_path: Path) -> None:
    path = keep(write_media(tmp_path, "mkv"), 0.5)
    with pytest.raises(MediaError, match=r"the picture ends at 1\.\d\d s of 2\.\d\d s declared"):
        list(VideoReader(path, span=Span(1.8, 2.2)))
    reader = WaveformReader(path, span=Span(1.8, 2.2))
    assert list(reader) == []
    assert ends(reader.cut_off)[0] == pytest.approx(1.2, abs=0.2)


def test_fragments_declare_no_length(tmp_path: Path) -> None:
    path = write_media(tmp_path, "mp4", movflags="frag_keyframe+empty_moov")
    assert sentences(path) == (None, None)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"mfra") + 8])  # the index alone is cut off
    assert sentences(path) == (None, None)
    path.write_bytes(content[: round(0.6 * len(content))])
    for kind, sentence in zip(("picture", "sound"), sentences(path), strict=True):
        assert re.match(rf"the {kind} ends at 1\.\d\d s, where the file is cut off", sentence or "")


def test_an_ogg_whose_last_page_is_not_whole_is_cut_off(tmp_path: Path) -> None:
    path = write_alone(tmp_path / "a.opus", "libopus", page_duration="200000")
    assert sentences(path)[1] is None
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])  # as of a recording that was stopped
    assert sentences(path)[1] is None
    last = content.rindex(b"OggS")
    for end in (len(content) // 2, last + 3, last + 20, last + 27):
        path.write_bytes(content[:end])  # within a page, and within its mark or its header
        sentence = sentences(path)[1] or ""
        assert re.match(r"the sound ends at [012]\.\d\d s, where the file is cut off", sentence)
    path.write_bytes(content + bytes(20))  # padding is no page
    assert sentences(path)[1] is None


def test_an_ogg_whose_last_packet_goes_on_in_another_page_is_cut_off(tmp_path: Path) -> None:
    def prepare(stream: av.VideoStream) -> None:
        stream.codec_context.bit_rate = 200_000_000

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (400, 600, 3), np.uint8) for _ in range(4)]
    path = write_video(tmp_path / "a.ogv", images, codec="libvpx", prepare=prepare)
    content = path.read_bytes()
    assert sentences(path)[0] is None
    starts = [found.start() for found in re.finditer(b"OggS\0", content)]
    # A page of 255 pieces of 255 bytes holds the beginning of a frame and no end.
    full = [at for at in starts if content[at + 26] == 255 and content[at + 281] == 255]
    path.write_bytes(content[: starts[starts.index(full[-1]) + 1]])
    assert re.match(r"the picture ends at 0\.\d\d s", sentences(path)[0] or "")


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_sizes_that_a_pipe_leaves_open_declare_nothing(tmp_path: Path, size: int) -> None:
    path = write_wav(tmp_path / "a.wav", noise(0.5), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert sentences(path)[1] is None


def test_a_wav_beyond_4_gib_declares_its_data_elsewhere(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(0.5), RATE)
    content = path.read_bytes()
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, 0, 4 * RATE * 2, RATE, 0)
    data = content[12:40] + b"\xff\xff\xff\xff" + content[44:]
    path.write_bytes(b"RF64\xff\xff\xff\xffWAVE" + sizes + data)
    assert ends(sentences(path)[1]) == pytest.approx((0.5, 2.0), abs=0.1)


def test_a_live_recording_in_matroska_declares_nothing(tmp_path: Path) -> None:
    path = write_media(tmp_path, "mkv", live="1")
    assert sentences(keep(path, 0.5)) == (None, None)


def test_a_matroska_that_has_all_its_bytes_may_still_end_early(tmp_path: Path) -> None:
    path = write_media(tmp_path, "mkv")
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # the duration, in milliseconds
    content[at : at + 8] = struct.pack(">d", 60_000.0)
    path.write_bytes(content)
    assert ends(sentences(path)[0]) == pytest.approx((SECONDS, 60.0), abs=0.1)
    content[at : at + 8] = struct.pack(">d", 3_000.0)  # a slip, of a tool that joined files say
    path.write_bytes(content)
    assert sentences(path) == (None, None)


def test_an_mp3_without_a_header_declares_nothing(tmp_path: Path) -> None:
    path = write_alone(tmp_path / "a.mp3", "libmp3lame", write_xing="0")
    assert sentences(keep(path, 0.5))[1] is None


@pytest.mark.parametrize("suffix", ALL)
def test_headers_of_noise_are_survived(tmp_path: Path, suffix: str) -> None:
    content = bytearray(write_media(tmp_path, suffix, picture=0.4, sound=0.4).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / f"b.{suffix}"
    for _ in range(40):
        damaged = content.copy()
        for at in rng.integers(0, 600, 4):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            info = probe(path)
        except MediaError:
            continue
        find_cut_off(info, DecodeSettings(), "picture")
        find_cut_off(info, DecodeSettings(), "sound")


BOXES = {
    "mov": (b"", struct.pack(">I4s", 8, b"free"), struct.pack(">I4s", 99, b"mdat")),
    "avi": (b"", struct.pack("<4sI", b"JUNK", 0), struct.pack("<4sI", b"RIFF", 99)),
    "wav": (bytes(12), struct.pack("<4sI", b"LIST", 0), struct.pack("<4sI", b"data", 99)),
    "w64": (bytes(40), struct.pack("<16sQ", b"", 0), struct.pack("<16sQ", W64_DATA, 99)),
    "aiff": (bytes(12), struct.pack(">4sI", b"ANNO", 0), struct.pack(">4sI", b"SSND", 99)),
    "caf": (bytes(8), struct.pack(">4sq", b"free", 0), struct.pack(">4sq", b"data", 99)),
}


@pytest.mark.parametrize("container", BOXES)
def test_a_hostile_number_of_boxes_is_not_walked_over(
    tmp_path: Path, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, empty, short = BOXES[container]
    path = tmp_path / "a"
    path.write_bytes(head + 50 * empty + short)
    found = find_shortage(path, container)
    assert found is not None
    assert not found.counted
    monkeypatch.setattr("pipeline.media.sizes.MAX_CHUNKS", 50)
    found = find_shortage(path, container)
    assert found is None or found.counted


@pytest.mark.parametrize("container", LOOKS)
@pytest.mark.parametrize("byte", [0, 0x7F, 0x80, 0xFF])
def test_sizes_of_any_bytes_are_survived(tmp_path: Path, container: str, byte: int) -> None:
    heads = (b"", b"RIFF", EBML, EBML + b"\x80" + SEGMENT, b"ID3", b"fLaC", b"OggS\0", ASF_HEADER)
    path = tmp_path / "a"
    for head in heads:
        path.write_bytes(head + bytes([byte]) * 400)
        find_shortage(path, container)


def test_ends_are_measured_until_a_stream_turns_up_late() -> None:
    class Late:
        def demux(self) -> Any:
            stream = SimpleNamespace(index=1)
            yield SimpleNamespace(
                pts=3, dts=3, duration=2, is_corrupt=False, time_base=0.5, stream=stream
            )
            raise IndexError("list index out of range")  # as PyAV does

    container: Any = Late()
    assert measure_ends(Path("a.mp4"), container, 1.0) == {1: 1.5}
