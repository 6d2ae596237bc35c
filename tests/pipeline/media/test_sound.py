from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.container import NoAudioError
from pipeline.media.frames import DecodeSettings, MediaError
from pipeline.media.sound import SAMPLE_RATE, Waveform, WaveformReader, read_waveform
from tests.pipeline.videos import grey_frame, write_video, write_wav


def tone(seconds: float, hertz: float, rate: int, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def beep(seconds: float, at: float, rate: int) -> np.ndarray:
    """Silence with a beep of 50 ms."""
    sound = np.zeros(round(seconds * rate))
    sound[round(at * rate) : round((at + 0.05) * rate)] = tone(0.05, 1000, rate)
    return sound


def onset(waveform: Waveform) -> float:
    """Time of the first loud sample in the clip."""
    return waveform.start_seconds + float(np.argmax(np.abs(waveform.samples) > 0.1)) / SAMPLE_RATE


def read(path: Path, *cut: float | None) -> Waveform:
    waveform = read_waveform(path, None, Span(*cut))
    assert waveform is not None
    return waveform


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_any_rate_becomes_16_khz_with_the_same_sound(tmp_path: Path, rate: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.7, 440, rate)[None].astype(np.float32), rate)
    waveform = read(path)
    assert waveform.sample_rate == 16_000
    assert waveform.samples.dtype == np.float32
    assert len(waveform.samples) == pytest.approx(0.7 * 16_000, abs=3)
    expected = tone(0.7, 440, 16_000)[200:-200]
    assert waveform.samples[200 : 200 + len(expected)] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("channels", [1, 2, 6, 17, 64])
def test_all_channels_count_alike(tmp_path: Path, channels: int) -> None:
    gains = np.arange(1, channels + 1) / channels
    sound = (gains[:, None] * tone(0.2, 440, 16_000)).astype(np.float32)
    waveform = read(write_wav(tmp_path / "a.wav", sound, 16_000))
    assert waveform.samples == pytest.approx(sound.mean(0), abs=1e-6)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_whole_numbers_become_fractions_of_full_scale(tmp_path: Path, width: int) -> None:
    values = np.array([0.0, 0.5, -0.5, -1.0] * 50)
    kind = {1: "<u1", 2: "<i2", 4: "<i4"}[width]
    scaled = values * 128 + 128 if width == 1 else values * 2.0 ** (8 * width - 1)
    data = scaled.astype(kind).tobytes()
    fields = [(16, 4), (1, 2), (1, 2), (16_000, 4), (16_000 * width, 4), (width, 2), (8 * width, 2)]
    header = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt "
    header += b"".join(value.to_bytes(size, "little") for value, size in fields)
    path = tmp_path / "a.wav"
    path.write_bytes(header + b"data" + len(data).to_bytes(4, "little") + data)
    assert read(path).samples == pytest.approx(values)


def test_samples_beyond_full_scale_and_nan_are_tamed(tmp_path: Path) -> None:
    sound = np.array([[0.5, 3.0, -7.0, np.nan, np.inf, 0.25] * 40], np.float32)
    samples = read(write_wav(tmp_path / "a.wav", sound, 16_000)).samples
    assert samples[:6] == pytest.approx([0.5, 1.0, -1.0, 0.0, 0.0, 0.25])


def test_a_beep_is_heard_when_it_is_shown(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", [grey_frame(0)] * 50, sound=beep(2.0, 1.23, 16_000)[None]
    )
    assert onset(read(path)) == pytest.approx(1.23, abs=0.002)


def test_sound_that_starts_after_the_picture_says_when_and_is_not_padded(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [grey_frame(0)] * 50,
        sound=beep(1.0, 0.3, 16_000)[None],
        sound_start=0.7,
    )
    waveform = read(path)
    assert waveform.start_seconds == pytest.approx(0.7, abs=0.002)
    assert len(waveform.samples) == pytest.approx(16_000, abs=200)
    assert onset(waveform) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_cut_is_exact_and_counts_from_its_start(tmp_path: Path, suffix: str) -> None:
    path = write_video(
        tmp_path / f"a.{suffix}", [grey_frame(0)] * 250, sound=beep(10.0, 6.4, 16_000)[None]
    )
    waveform = read(path, 5.5, 7.0)
    assert len(waveform.samples) == 1.5 * 16_000
    assert waveform.start_seconds == 0.0
    assert onset(waveform) == pytest.approx(0.9, abs=0.003)


def test_a_cut_equals_the_whole_cut_afterwards(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 80_000)).astype(np.float32)
    path = write_wav(tmp_path / "a.wav", noise, 16_000)
    assert np.array_equal(read(path, 1.5, 3.25).samples, noise[0, 24_000:52_000])


def test_a_cut_of_what_is_not_there_is_empty(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.full((1, 16_000), 0.5, np.float32), 16_000)
    assert len(read(path, 3.0, 4.0).samples) == 0


def test_blocks_are_bounded_and_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.media.sound.BLOCK_SAMPLES", 5_000)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 48_000)).astype(np.float32)
    blocks = list(WaveformReader(write_wav(tmp_path / "a.wav", noise, 16_000)))
    assert len(blocks) > 3
    assert max(len(block) for block in blocks) < 10_000
    assert np.array_equal(np.concatenate(blocks), noise[0])


def test_silence_is_told_from_sound(tmp_path: Path) -> None:
    quiet = write_wav(tmp_path / "a.wav", np.full((1, 160), 5e-5, np.float32), 16_000)
    loud = write_wav(tmp_path / "b.wav", np.full((1, 160), 5e-4, np.float32), 16_000)
    assert read(quiet).is_silent
    assert not read(loud).is_silent


def test_no_audio_stream_is_none_not_silence(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [grey_frame(0)] * 3)
    assert read_waveform(path) is None
    with pytest.raises(NoAudioError, match=r"a\.mp4 has no audio stream"):
        list(WaveformReader(path))


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((3, 160), np.float32), 16_000)
    with pytest.raises(MediaError, match=r"3 audio channels; at most 2 are read \(max_channels\)"):
        read_waveform(path, DecodeSettings(max_channels=2))


def test_too_long_a_clip_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((1, 48_000), np.float32), 16_000)
    with pytest.raises(MediaError, match=r"declares 3 s; a clip may have 2 s"):
        read_waveform(path, DecodeSettings(max_duration_seconds=2))


def test_undeclared_length_ends_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((1, 48_000), np.float32), 16_000)
    monkeypatch.setattr("pipeline.media.sound.check_limits", lambda *_: None)
    waveform = read_waveform(path, DecodeSettings(max_duration_seconds=2))
    assert waveform is not None
    assert len(waveform.samples) == 32_000
    assert waveform.problems == ("sound stopped after 2 s (max_duration_seconds)",)


def test_a_file_that_is_no_media_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("not sound")
    with pytest.raises(MediaError, match="it looks like text"):
        read_waveform(tmp_path / "a.wav")


def test_damaged_sound_costs_a_part_and_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.5, 0.5, (1, 160_000)).astype(np.float32)
    path = write_video(tmp_path / "a.mkv", [grey_frame(0)] * 3, sound=sound)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = rng.integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(data)
    waveform = read(path)
    assert len(waveform.samples) > 80_000
    assert waveform.problems


# Name, seconds of sound or None, silent.
REAL = [
    ("odd/cartoon_6_channels.mp4", 5.312, False),
    ("odd/wav_named_mp4.mp4", 2.22, False),
    ("odd/sine_no_declared_length.mpg", 4.023, False),
    ("odd/very_dark_no_audio.mp4", None, False),
    ("faces/long_20s.mp4", 19.69, True),
]


@pytest.mark.parametrize("case", REAL, ids=[case[0] for case in REAL])
def test_real_files(data: Path, case: tuple[str, float | None, bool]) -> None:
    name, seconds, silent = case
    waveform = read_waveform(data / "clips" / name)
    if waveform is None:
        assert seconds is None
        return
    assert len(waveform.samples) / SAMPLE_RATE == pytest.approx(seconds, abs=0.01)
    assert waveform.is_silent == silent
    assert waveform.problems == ()


def test_sound_before_and_after_a_joint_of_clips_keeps_the_pictures_clock(data: Path) -> None:
    waveform = read(data / "clips" / "faces" / "face_leaves_vfr_hevc.mov")
    assert waveform.start_seconds == pytest.approx(2.43, abs=0.001)


def pair(*gains: float, seconds: float = 3.0, rate: int = 16_000) -> np.ndarray:
    """Noise in channels of these gains."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate))
    return np.stack([gain * noise for gain in gains]).astype(np.float32)


def test_ordinary_stereo_has_the_very_samples_of_its_mean(tmp_path: Path) -> None:
    sound = np.stack([pair(1.0)[0], tone(3.0, 440, 16_000)]).astype(np.float32)
    waveform = read(write_wav(tmp_path / "a.wav", sound, 16_000))
    assert np.array_equal(waveform.samples, sound.mean(axis=0))
    assert waveform.notes == ()


def test_inverted_channels_are_heard_and_noted(tmp_path: Path) -> None:
    sound = pair(1.0, -1.0)
    waveform = read(write_wav(tmp_path / "a.wav", sound, 16_000))
    assert np.array_equal(waveform.samples, sound[0])
    assert waveform.notes == ("channels: they cancel each other in an average; one is kept",)
    assert waveform.problems == ()


def test_channels_are_chosen_by_the_cut_alone(tmp_path: Path) -> None:
    # Two seconds of ordinary stereo, then two of which the second channel is dead.
    sound = np.concatenate([pair(1.0, 0.5, seconds=2.0), pair(1.0, 0.0, seconds=2.0)], axis=1)
    path = write_wav(tmp_path / "a.wav", sound, 16_000)
    assert np.array_equal(read(path).samples, sound.mean(axis=0))
    first, second = read(path, 0.5, 2.0), read(path, 2.0, 3.5)
    assert np.array_equal(first.samples, sound.mean(axis=0)[8_000:32_000])
    assert first.notes == ()
    assert np.array_equal(second.samples, sound[0, 32_000:56_000])
    assert second.notes == ("channels: one of two is silent; the other is kept",)


@pytest.mark.parametrize("held", [1, 72_000_000])
def test_long_clips_are_decoded_twice_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr("pipeline.media.sound.HELD_BYTES", held)
    sound = pair(1.0, -1.0)
    path = write_video(tmp_path / "a.mkv", [grey_frame(0)] * 75, sound=sound)
    for cut in ((), (1.2, 2.4)):
        waveform = read(path, *cut)
        begin, end = (round(16_000 * second) for second in cut or (0, 3))
        assert waveform.samples == pytest.approx(sound[0, begin:end], abs=1e-4)
        assert waveform.problems == ()


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mkv", "flac"), ("mkv", "pcm_s16le"), ("mov", "pcm_s16le"), ("wav", "pcm_f32le")],
)
def test_a_cut_has_the_very_samples_of_the_whole(
    tmp_path: Path, suffix: str, rate: int, codec: str
) -> None:
    sound = pair(1.0, 0.5, seconds=5.0, rate=rate)
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        write_wav(path, sound, rate)
    else:
        images = [grey_frame(0)] * 125
        write_video(path, images, sound=sound, sound_rate=rate, sound_codec=codec)
    whole = read(path)
    for begin, end in ((0.75, 1.5), (2.0, 3.125), (3.5, None)):
        cut = read(path, begin, end)
        stop = None if end is None else round(16_000 * end)
        wanted = whole.samples[round(16_000 * begin) : stop]
        assert np.array_equal(cut.samples, wanted)
