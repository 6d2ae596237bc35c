"""Input that wants to do harm: mutated media, giant frames, false headers, payloads, TOML bombs."""

from __future__ import annotations

import json
import math
import pickle
import struct
import time
import zlib
from contextlib import nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.mutate import DAMAGES, extract_mutants, make_seeds, write_mutants
from cache.clip import Clip
from cache.feature_set import find_set
from cache.manifest import write_manifest
from cache.settings import (
    SettingsError,
    format_toml,
    merge,
    parse_overrides,
    read_toml,
    settings_from,
    settings_to_dict,
)
from pipeline.cli import main
from pipeline.decode import DecodeSettings
from pipeline.sets import plan_sets
from pipeline.settings import StageOneSettings
from pipeline.summary import peak_memory
from tests.pipeline.videos import HEIGHT, WIDTH, grey_frame, write_video, write_wav

FEW = 4 * len(DAMAGES)


def extract(manifest: Path, *arguments: str) -> Result:
    cache = manifest.parent / "cache"
    command = ["extract", str(manifest), "--cache", str(cache), "--jobs", "0", *arguments]
    if "--sets" not in arguments:
        command += ["--sets", "faces,spectrogram"]
    return CliRunner().invoke(main, command)


def extract_one(path: Path, *arguments: str) -> dict[str, Any]:
    """Extract one file; returns its part of the report."""
    write_manifest(path.parent / "m.csv", [Clip("clip", path)], overwrite=True)
    result = extract(path.parent / "m.csv", *arguments)
    assert result.exit_code in (0, 1), result.output
    report: dict[str, Any] = json.loads((path.parent / "cache" / "extract-report.json").read_text())
    return report["clips"][0]


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


def test_mutated_media_end_in_a_state_with_a_reason_and_harm_nothing_else(tmp_path: Path) -> None:
    seeds = make_seeds(tmp_path / "seeds")
    assert len(seeds) >= 8
    clips = write_mutants(seeds, tmp_path / "mutants", files=len(seeds) * len(DAMAGES), seed=5)
    before = peak_memory()  # of the tests that ran earlier in this process
    outcome = extract_mutants(clips[::2][:FEW], tmp_path, jobs=1, hang_seconds=60)
    assert outcome.clean, outcome
    assert outcome.files == FEW
    assert outcome.hung == 0
    assert outcome.unforeseen == {}  # every failure is one that the code knows
    assert outcome.peak_memory_bytes <= max(1_000_000_000, before)


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


def test_an_exception_that_no_one_foresaw_fails_the_clip_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's is no RuntimeError: one clip of odd proportions ended the whole run."""

    def track_faces(*_: object, **__: object) -> None:
        raise cv2.error("Assertion failed")

    monkeypatch.setattr("pipeline.face_stages.track_faces", track_faces)
    path = write_video(tmp_path / "a.mp4", [grey_frame(1)], codec="mpeg4")
    clip = extract_one(path)
    assert clip["sets"]["faces"]["state"] == "failed"
    assert why(clip).startswith("error: Assertion failed (test_hostile.py:")
    assert clip["sets"]["spectrogram"]["state"] == "partial"


def test_twelve_hours_are_refused_whole_and_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    stamps = [0, 1_000, 2_000, 12 * 3600 * 25 * 1_000]
    write_video(path, [grey_frame(number) for number in range(4)], pts=stamps, codec="mpeg4")
    clip = extract_one(path)
    assert clip["state"] == "failed"
    assert "a clip may have 7200 s (max_duration_seconds)" in why(clip)
    write_manifest(tmp_path / "part.csv", [Clip("part", path, end_seconds=1.0)])
    extract(tmp_path / "part.csv")
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
    for number, text in enumerate(
        (
            f"ffconcat version 1.0\nfile '{secret}'\n",
            f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        )
    ):
        path = tmp_path / f"list{number}.mp4"
        path.write_text(text)
        clip = extract_one(path)
        assert clip["state"] == "failed"
        assert "looks like text" in why(clip)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it ran")


def test_a_pickle_with_a_payload_given_as_weights_is_refused_and_does_not_run(
    tmp_path: Path,
) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((1, 999)), 16_000)
    write_manifest(tmp_path / "m.csv", [Clip("a", path)])
    proof = tmp_path / "proof"
    weights = tmp_path / "weights.pth"
    weights.write_bytes(pickle.dumps({"conv1.weight": Payload(proof)}))
    result = extract(tmp_path / "m.csv", "--sets", "resnet18", "--weights", f"resnet18={weights}")
    assert result.exit_code == 2
    assert str(weights) in result.output
    assert not proof.exists()
    assert not (tmp_path / "cache").exists()


def test_a_safetensors_header_of_an_exabyte_given_as_weights_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.ones((1, 999)), 16_000)
    write_manifest(tmp_path / "m.csv", [Clip("a", path)])
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    result = extract(tmp_path / "m.csv", "--sets", "resnet18", "--weights", f"resnet18={weights}")
    assert result.exit_code == 2
    assert str(weights) in result.output


BOMBS = {
    "nested arrays": "a = " + "[" * 50_000 + "]" * 50_000,
    "nested tables": "a = " + "{a=" * 20_000 + "1" + "}" * 20_000,
    "a long key": ".".join(["a"] * 40_000) + " = 1",
    "a long table": "[" + ".".join(["a"] * 40_000) + "]",
    "a quoted long key": ".".join(['"="'] * 20_000) + " = 1",
    "many long keys": "\n".join(f"a{n}." + ".".join("b" * 900) + " = 1" for n in range(50)),
    "many tables": "\n".join(f"[a.b{number}]" for number in range(12_000)),
    "large": "a = 1\n" * 200_000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_toml_bomb_is_refused_in_a_moment(text: str, tmp_path: Path) -> None:
    config = tmp_path / "bomb.toml"
    config.write_text(text)
    path = write_wav(tmp_path / "a.wav", np.ones((1, 999)), 16_000)
    write_manifest(tmp_path / "m.csv", [Clip("a", path)])
    started = time.process_time()
    result = extract(tmp_path / "m.csv", "--config", str(config))
    assert result.exit_code == 2, result.output
    assert time.process_time() - started < 3
    assert not (tmp_path / "cache").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


ODD = st.sampled_from(
    [math.nan, math.inf, -math.inf, 10**400, 2**70, -(2**70), 1e308, 5e-324, -0.0, -1, 0, "\ud800"]
)


def paths(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        found.append((*prefix, name))
        if isinstance(value, dict):
            found += paths(value, (*prefix, name))
    return found


DEFAULTS = settings_to_dict(StageOneSettings())


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(paths(DEFAULTS)), value=ODD | JSON)
def test_any_value_of_any_setting_is_settings_with_a_key_or_an_error(
    path: tuple[str, ...], value: Any
) -> None:
    values: Any = value
    for name in reversed(path):
        values = {name: values}
    try:
        made = settings_from(StageOneSettings, values)
    except SettingsError:
        return
    names = ("faces", "spectrogram", "logmel")
    plan = plan_sets(names, made, {}, cache=Path("/nowhere"), device="cpu")
    assert len({planned.spec.key for planned in plan.sets}) == 3
    assert settings_from(StageOneSettings, settings_to_dict(made)) == made


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | st.text(alphabet="ab=.[]{}\"'#\n 01-", max_size=80))
def test_any_bytes_are_a_table_or_a_settings_error(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with suppress(SettingsError):
        assert isinstance(read_toml(path), dict)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(alphabet="ab=.[]{}\"'#\n 01-é\0", max_size=20), max_size=4))
def test_any_overrides_are_a_table_or_a_settings_error(texts: list[str]) -> None:
    try:
        values = parse_overrides(texts)
    except SettingsError:
        return
    assert merge(values, values) == values
    with pytest.raises(SettingsError, match="unknown setting") if values else nullcontext():
        settings_from(DecodeSettings, values)


NAME = st.from_regex(r"[a-z_]{1,9}", fullmatch=True)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.dictionaries(
        NAME,
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.dictionaries(NAME, st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3),
        max_size=5,
    )
)
def test_what_is_written_as_toml_reads_back(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "out.toml"
    path.write_text(format_toml(values), encoding="utf-8")
    assert read_toml(path) == values
