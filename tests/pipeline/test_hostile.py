"""Files that want to do harm: mutated media, giant frames, false headers, payloads in weights."""

from __future__ import annotations

import pickle
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest
from click.testing import Result

from benchmarks.trust.mutate import DAMAGES, extract_mutants, make_seeds, write_mutants
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import find_set
from pipeline.extract.summary import peak_memory
from tests.pipeline.extracting import extract, report
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, write_video, write_wav

FEW = 4 * len(DAMAGES)
GROWTH = 300_000_000  # bytes: what stage one may take for small files, however they are damaged
MEDIA = ("--sets", "faces,spectrogram")


def extract_one(path: Path, *arguments: str) -> dict[str, Any]:
    """Extract one file; returns its part of the report."""
    write_manifest(path.parent / "m.csv", [Clip("clip", path)], overwrite=True)
    if "--sets" not in arguments:
        arguments = (*MEDIA, *arguments)
    result = extract(path.parent / "m.csv", path.parent / "cache", *arguments)
    assert result.exit_code in (0, 1), result.output
    return report(path.parent / "cache")["clip"]


def write_avi(path: Path, codec: str, pixels: str) -> bytearray:
    """Write five frames into a container whose header is easily forged; returns its bytes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(grey_frame(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return bytearray(path.read_bytes())


def why(clip: dict[str, Any], name: str = "faces") -> str:
    return "; ".join(clip["sets"][name]["why"])


@pytest.mark.slow
def test_mutated_media_end_in_a_state_with_a_reason_and_harm_nothing_else(tmp_path: Path) -> None:
    seeds = make_seeds(tmp_path / "seeds")
    assert len(seeds) >= 8
    clips = write_mutants(seeds, tmp_path / "mutants", files=len(seeds) * len(DAMAGES), seed=5)
    # The tests that ran earlier in this process have left their memory and their peak.
    allowed = max(peak_memory(), psutil.Process().memory_info().rss + GROWTH)
    outcome = extract_mutants(clips[::2][:FEW], tmp_path, jobs=1, hang_seconds=60)
    assert outcome.clean, outcome
    assert outcome.files == FEW
    assert outcome.hung == 0
    assert outcome.unforeseen == {}  # every failure is one that the code knows
    assert outcome.peak_memory_bytes <= allowed


def test_the_same_seed_makes_the_same_mutants(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).normal(size=(1, 999))
    path = write_wav(tmp_path / "a.wav", noise, 16_000)
    for name in ("one", "two"):
        write_mutants([path], tmp_path / name, files=len(DAMAGES), seed=3)
    for mutant in sorted((tmp_path / "one").iterdir()):
        assert mutant.read_bytes() == (tmp_path / "two" / mutant.name).read_bytes()
        assert mutant.read_bytes() != path.read_bytes()


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (12_000, "has frames of 12000x12000 pixels; at most 36000000 pixels are read (max_pixels)"),
        (16_384, "no frame could be decoded"),  # FFmpeg's own limit
    ],
)
def test_a_header_of_giant_frames_is_refused_before_anything_is_allocated(
    side: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "giant.mkv"
    write_video(path, [grey_frame(number, 298, 302) for number in range(3)], codec="ffv1")
    content = path.read_bytes()
    # Elements PixelWidth and PixelHeight, each with two bytes; the codec takes its size from them.
    for element, size in ((b"\xb0\x82", 302), (b"\xba\x82", 298)):
        assert content.count(element + size.to_bytes(2, "big")) == 1
        content = content.replace(
            element + size.to_bytes(2, "big"), element + side.to_bytes(2, "big")
        )
    path.write_bytes(content)
    clip = extract_one(path)
    assert clip["state"] == "failed"
    assert reason in why(clip)


def test_a_giant_picture_behind_a_small_header_is_refused_by_the_decoder(tmp_path: Path) -> None:
    """33 kB that decode to 800 MB: each frame is a PNG, which has a size of its own."""
    path = tmp_path / "bomb.mov"
    side = 16_384
    row = bytes(1 + side // 8)
    body = zlib.compress(row * side, 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return len(data).to_bytes(4, "big") + kind + data + checksum.to_bytes(4, "big")

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 62, 94, "rgb24"
        frame = av.VideoFrame.from_ndarray(grey_frame(1), format="rgb24")
        for packet in stream.encode(frame):
            container.mux(packet)
        packet = av.Packet(png)
        packet.stream, packet.pts, packet.dts = stream, 1, 1
        packet.time_base, packet.is_keyframe = Fraction(1, 25), True
        container.mux(packet)
    clip = extract_one(path)
    assert clip["state"] == "partial"
    assert "decoded 1 of 2 declared frames; picture decoding error at 0.04 s" in why(clip)
    assert find_set(tmp_path / "cache", "faces").read("clip").arrays["times"].shape == (1,)


@pytest.mark.parametrize(("declared", "state"), [(1_000_000, "failed"), (400_000, "partial")])
def test_a_million_declared_frames_cost_nothing_and_are_told(
    declared: int, state: str, tmp_path: Path
) -> None:
    path = tmp_path / "many.avi"
    content = write_avi(path, "mpeg4", "yuv420p")
    at = content.index(b"strh") + 8 + 20  # dwScale, dwRate, dwStart, dwLength
    assert struct.unpack("<IIII", content[at : at + 16]) == (1, 25, 0, 5)
    content[at : at + 16] = struct.pack("<IIII", 1, 250, 0, declared)
    path.write_bytes(content)
    clip = extract_one(path)
    assert clip["state"] == state
    if state == "failed":
        assert "declares 1000000 frames; a clip may have 500000 (max_frames)" in why(clip)
    else:
        assert f"decoded 5 of {declared} declared frames" in why(clip)


@pytest.mark.parametrize(
    ("height", "width"), [(16, 40_000), (40_000, 16), (1, 1), (2, 3), (1, 3_001)]
)
def test_frames_of_any_proportion_go_through_every_stage(
    height: int, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "odd.mkv"
    images = [grey_frame(number, height, width) for number in range(3)]
    write_video(path, images, codec="ffv1", pix_fmt="gray")
    clip = extract_one(
        path, "--sets", "resnet18", "--weights", "resnet18=random",
        "--set", "network.image_size=32", "--views", "basic",
    )  # fmt: skip
    assert clip["state"] == "partial"
    assert why(clip) == why(clip, "resnet18") == "3 of 3 frames without a face"


def test_an_exception_that_no_one_foresaw_is_told_with_its_place_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's is no RuntimeError: one clip of odd proportions ended the whole run."""

    def track_faces(*_: object, **__: object) -> None:
        raise cv2.error("Assertion failed")

    path = write_video(tmp_path / "a.mp4", [grey_frame(1)], codec="mpeg4")
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.extract.picture.track_faces", track_faces)
        clip = extract_one(path)
    assert clip["sets"]["faces"]["state"] == "failed"
    assert why(clip).startswith("error: Assertion failed (test_hostile.py:")
    assert why(clip).endswith("no fault of the clip; the next run tries it again")
    assert clip["sets"]["spectrogram"]["state"] == "partial"
    assert find_set(tmp_path / "cache", "faces").failures() == []
    assert extract_one(path)["sets"]["faces"]["state"] == "partial"


def test_twelve_hours_are_refused_whole_and_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    stamps = [0, 1_000, 2_000, 12 * 3600 * 25 * 1_000]
    write_video(path, [grey_frame(number) for number in range(4)], pts=stamps, codec="mpeg4")
    clip = extract_one(path)
    assert clip["state"] == "failed"
    assert "a clip may have 7200 s (max_duration_seconds)" in why(clip)
    write_manifest(tmp_path / "part.csv", [Clip("part", path, end_seconds=1.0)])
    extract(tmp_path / "part.csv", tmp_path / "cache", *MEDIA)
    assert find_set(tmp_path / "cache", "faces").read("part").arrays["times"].shape == (3,)


@pytest.mark.parametrize(("channels", "state"), [(64, "ok"), (65, "failed"), (65_535, "partial")])
def test_64_channels_are_read_and_more_are_refused(
    channels: int, state: str, tmp_path: Path
) -> None:
    sound = np.full((channels, 60), 0.25, np.float32)
    if channels == 64:
        sound = np.full((channels, 1_600), 0.25, np.float32)
    path = tmp_path / "many.wav"
    if channels < 1_000:
        write_wav(path, sound, 16_000)
    else:
        write_wav(path, sound[:64], 16_000)
        content = bytearray(path.read_bytes())
        content[22:24] = channels.to_bytes(2, "little")
        path.write_bytes(content)
    clip = extract_one(path, "--sets", "spectrogram")
    assert clip["state"] == state
    assert state == "ok" or why(clip, "spectrogram")
    if channels == 65:
        assert "has 65 audio channels; at most 64 are read (max_channels)" in why(
            clip, "spectrogram"
        )


def test_a_playlist_named_like_a_clip_reads_no_other_file(tmp_path: Path) -> None:
    secret = write_wav(tmp_path / "secret.wav", np.ones((1, 9_000)), 16_000)
    for text, said in {
        f"ffconcat version 1.0\nfile '{secret}'\n": "it looks like text",
        f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n": "is a playlist (M3U)",
    }.items():
        path = tmp_path / "list.mp4"
        path.write_text(text)
        clip = extract_one(path)
        assert clip["state"] == "failed"
        assert said in why(clip)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it ran")


def extract_with(weights: Path) -> Result:
    """Extract a sound beside a weight file with it."""
    folder = weights.parent
    path = write_wav(folder / "a.wav", np.ones((1, 999)), 16_000)
    write_manifest(folder / "m.csv", [Clip("a", path)])
    words = ("--sets", "resnet18", "--weights", f"resnet18={weights}")
    return extract(folder / "m.csv", folder / "cache", *words)


def test_a_pickle_with_a_payload_given_as_weights_is_refused_and_does_not_run(
    tmp_path: Path,
) -> None:
    proof = tmp_path / "proof"
    weights = tmp_path / "weights.pth"
    weights.write_bytes(pickle.dumps({"conv1.weight": Payload(proof)}))
    result = extract_with(weights)
    assert result.exit_code == 2
    assert str(weights) in result.output
    assert not proof.exists()
    assert not (tmp_path / "cache").exists()


def test_a_safetensors_header_of_an_exabyte_given_as_weights_is_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    result = extract_with(weights)
    assert result.exit_code == 2
    assert str(weights) in result.output
