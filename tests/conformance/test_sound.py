"""Sound of every rate, sample format and layout: there, at its level and in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.manifest.span import Span
from pipeline.media.sound import Waveform, read_waveform
from tests.conformance.making import Recipe, Studio
from tests.conformance.signals import HEARD, LEVEL, delays_of, known_sound, level_of

CLOSE = 0.002  # seconds; a sample at 8 kHz is 0.1 ms, a resampler's delay is less
DECIBEL = 10 ** (1 / 20)
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
FORMATS = {
    "u8": ("-c:a", "pcm_u8"),
    "s16": ("-c:a", "pcm_s16le"),
    "s24": ("-c:a", "pcm_s24le"),
    "s32": ("-c:a", "pcm_s32le"),
    "f32": ("-c:a", "pcm_f32le"),
    "f64": ("-c:a", "pcm_f64le"),
    "a-law": ("-c:a", "pcm_alaw"),
    "mu-law": ("-c:a", "pcm_mulaw"),
    "ima adpcm": ("-c:a", "adpcm_ima_wav"),
    "microsoft's adpcm": ("-c:a", "adpcm_ms"),
}
CODECS = {
    "flac": Recipe(".flac", audio=("-c:a", "flac")),
    "flac of 24 bits": Recipe(".flac", audio=("-c:a", "flac", "-sample_fmt", "s32")),
    "mp3": Recipe(".mp3", audio=("-c:a", "libmp3lame")),
    "aac in m4a": Recipe(".m4a", audio=("-c:a", "aac")),
    "aac in adts": Recipe(".aac", audio=("-c:a", "aac")),
    "opus": Recipe(".opus", audio=("-c:a", "libopus")),
    "vorbis": Recipe(".ogg", audio=("-c:a", "libvorbis")),
    "ac3": Recipe(".ac3", audio=("-c:a", "ac3")),
    "wma": Recipe(".wma", audio=("-c:a", "wmav2")),
    "aiff": Recipe(".aiff", audio=("-c:a", "pcm_s16be")),
    "au": Recipe(".au", audio=("-c:a", "pcm_mulaw")),
    "caf": Recipe(".caf", audio=("-c:a", "pcm_s16le")),
    "w64": Recipe(".w64", audio=("-c:a", "pcm_s16le")),
}
# Delays of encoders that these files can't state: 1,024, 256 and 2,080 samples of 48 kHz.
DELAYS = {"aac in adts": 0.0213, "ac3": 0.0053, "wma": 0.0433}
CUTS = {"in the middle": Span(1.033, 1.817), "to the end": Span(1.7, None)}
# Gains of the channels, and what of the sound is there: the level that is to come out at least.
LAYOUTS = {
    "mono": ((1.0,), 1.0),
    "stereo": ((1.0, 1.0), 1.0),
    "inverted": ((1.0, -1.0), 1.0),
    "nearly inverted": ((1.0, -0.9), 0.9),
    "left alone": ((1.0, 0.0), 0.5),
    "right alone": ((0.0, 1.0), 0.5),
    "5.1 with the voice in the centre": ((0.0, 0.0, 1.0, 0.0, 0.0, 0.0), 1 / 6),
    "5.1 with every channel alike": ((1.0,) * 6, 1.0),
    "7.1 with the voice in the centre": ((0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1 / 8),
    "7.1 with the front inverted": ((1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1 / 8),
}


def hear(path: Path) -> Waveform:
    waveform = read_waveform(path)
    assert waveform is not None
    return waveform


def check_place(waveform: Waveform, lateness: float = 0.0) -> None:
    delays = delays_of(waveform.samples, waveform.start_seconds)
    assert len(delays) >= 7  # of nine windows: codecs blur the ends
    assert delays == pytest.approx(lateness, abs=CLOSE)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_of_any_rate_is_the_known_sound(studio: Studio, rate: int, channels: int) -> None:
    recipe = Recipe(".wav", audio=("-c:a", "pcm_s16le"), sound_rate=rate, layout=(1.0,) * channels)
    waveform = hear(studio.make(recipe))
    wanted = known_sound(HEARD)[: round(recipe.seconds * HEARD)]
    assert abs(len(waveform.samples) - len(wanted)) <= 16  # a millisecond of the resampler's
    count = min(len(waveform.samples), len(wanted))
    error = waveform.samples[:count] - wanted[:count]
    assert np.sqrt(np.mean(error[100:-100] ** 2)) < 0.02 * LEVEL
    assert waveform.problems == ()


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("suffix", [".wav", ".mkv"])
def test_sound_of_any_sample_format_keeps_level_and_place(
    studio: Studio, format_: str, suffix: str
) -> None:
    waveform = hear(studio.make(Recipe(suffix, audio=FORMATS[format_])))
    assert 1 / DECIBEL < level_of(waveform.samples) < DECIBEL
    check_place(waveform)
    assert waveform.problems == ()


@pytest.mark.parametrize("codec", CODECS)
def test_sound_of_any_codec_keeps_level_and_place(studio: Studio, codec: str) -> None:
    waveform = hear(studio.make(CODECS[codec]))
    assert 1 / DECIBEL < level_of(waveform.samples) < DECIBEL
    check_place(waveform, DELAYS.get(codec, 0.0))
    assert waveform.problems == ()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("codec", CODECS)
def test_a_cut_of_any_codec_lies_where_the_whole_has_it(
    studio: Studio, codec: str, cut: str
) -> None:
    span = CUTS[cut]
    waveform = read_waveform(studio.make(CODECS[codec]), span=span)
    assert waveform is not None
    delays = delays_of(waveform.samples, waveform.start_seconds)
    assert len(delays) >= 2
    assert delays == pytest.approx(DELAYS.get(codec, 0.0) - span.begin, abs=CLOSE)
    assert waveform.problems == ()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".wav", ".mkv"])
def test_sound_is_heard_in_whatever_channel_it_is(studio: Studio, layout: str, suffix: str) -> None:
    gains, level = LAYOUTS[layout]
    waveform = hear(studio.make(Recipe(suffix, audio=("-c:a", "pcm_s16le"), layout=gains)))
    assert level / DECIBEL < level_of(waveform.samples) < DECIBEL
    check_place(waveform)
