"""The set voice, from a file to a head that is trained on it and explains what it hears."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cache import open_cache
from cache.manifest.manifest import read_manifest
from cache.packs.pack import open_pack
from cache.sets.feature_set import find_set
from extractors.sound.functionals import VOICE_FUNCTIONALS, describe_voice
from extractors.sound.steps import VOICE_STEPS
from extractors.sound.voice import compute_voice
from pipeline.media.settings import DecodeSettings
from pipeline.media.sound import SAMPLE_RATE, WaveformReader
from tests.extractors.sound.voices import vowel
from tests.pipeline.command import avfuse
from tests.pipeline.extracting import report
from tests.pipeline.videos import grey_frame, write_video, write_wav
from trainer.data.features import read_features
from trainer.explain.steps import read_steps
from trainer.settings import AudioSettings, FusionSettings, HeadSettings

FUNCTIONALS = "clip/functionals"
VOWELS = {"ah": (700.0, 1200.0, 2600.0), "ee": (300.0, 2300.0, 3000.0)}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two vowels by three speakers, a sound of 0.3 s, one of 20 ms and a film without any."""
    folder = tmp_path_factory.mktemp("voices")
    rows = ["clip,path,label,speaker"]
    for label, formants in VOWELS.items():
        for number, hertz in enumerate((97, 131, 211)):
            sound = vowel(hertz, formants)[None, :].astype(np.float32)
            path = write_wav(folder / f"{label}-{number}.wav", sound, SAMPLE_RATE)
            rows.append(f"{label}-{number},{path},{label},s{number}")
    for name, samples in (("short", 4800), ("shorter", 320)):
        sound = vowel(113, VOWELS["ah"])[None, :samples].astype(np.float32)
        rows.append(f"{name},{write_wav(folder / f'{name}.wav', sound, SAMPLE_RATE)},,s3")
    film = write_video(folder / "silent.mp4", [grey_frame(n) for n in range(5)])
    rows.append(f"silent,{film},,s3")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def cache(manifest: Path) -> Path:
    folder = manifest.parent / "cache"
    result = avfuse("extract", manifest, "--cache", folder, "--sets", "voice,logmel", "--jobs", "0")
    if result.exit_code not in (0, 1):
        pytest.fail(result.output)
    return folder


def test_an_entry_holds_contour_functionals_and_the_name_of_each_number(cache: Path) -> None:
    entry = find_set(cache, "voice").read("ee-1")
    assert entry["steps"].shape == (47, len(VOICE_STEPS))
    assert entry["times"] == pytest.approx(0.02 + 0.01 * np.arange(47))
    np.testing.assert_array_equal(entry[FUNCTIONALS], describe_voice(entry["steps"])[None, :])
    assert entry.attributes["numbers"] == {
        "steps": list(VOICE_STEPS),
        "functionals": list(VOICE_FUNCTIONALS),
    }
    place = VOICE_FUNCTIONALS.index("voiced.f2_hz.p50")
    assert entry[FUNCTIONALS][0, place] == pytest.approx(2300, rel=0.06)


def test_it_is_what_python_computes_of_the_same_sound(cache: Path, manifest: Path) -> None:
    clip = read_manifest(manifest).by_id["ah-2"]
    reader = WaveformReader(clip.path, DecodeSettings(), clip.span)
    steps, functionals = compute_voice(np.concatenate(list(reader)), SAMPLE_RATE)
    entry = find_set(cache, "voice").read("ah-2")
    np.testing.assert_array_equal(entry["steps"], steps)
    np.testing.assert_array_equal(entry[FUNCTIONALS], functionals)


def test_a_clip_without_sound_or_with_too_little_has_no_row_and_says_why(cache: Path) -> None:
    found = {clip: find_set(cache, "voice").read(clip) for clip in ("short", "shorter", "silent")}
    assert found["short"].state == "ok"
    assert found["short"][FUNCTIONALS].shape == (1, len(VOICE_FUNCTIONALS))
    for clip in ("shorter", "silent"):
        assert found[clip][FUNCTIONALS].shape == (0, len(VOICE_FUNCTIONALS))
        assert found[clip]["steps"].shape == (0, len(VOICE_STEPS))
    assert found["silent"].missing == ("no audio stream",)
    assert "sound of 0.020 s is shorter than a window of 0.04 s" in found["shorter"].missing[0]
    assert report(cache)["silent"]["sets"]["voice"]["state"] == "partial"


def test_the_voice_is_read_as_one_vector_a_clip_or_step_by_step(cache: Path) -> None:
    ids = ["silent", "ah-0", "short"]
    for features in ("auto", "statistics", "functionals"):
        read = read_features(cache, ["voice"], ids, features)
        assert read.features == "functionals"
        assert read.sequences.lengths.tolist() == [0, 1, 1]
        assert read.sequences.times == pytest.approx([0.25, 0.15])  # the middle of the sound
    steps = read_features(cache, ["voice"], ids, "steps")
    assert steps.features == "steps"
    assert steps.sequences.lengths.tolist() == [0, 47, 27]


def test_it_stands_beside_the_statistics_of_another_set(cache: Path) -> None:
    joined = read_features(cache, ["logmel", "voice"], ["ah-0", "silent"], "statistics")
    assert joined.features == "statistics+functionals"
    assert joined.sequences.values.shape == (1, 7 * 120 + len(VOICE_FUNCTIONALS))


def test_a_pack_of_functionals_is_rebuilt_only_when_an_entry_changes(cache: Path) -> None:
    voices = find_set(cache, "voice")
    open_pack(voices, ["ah-0", "ah-1"], FUNCTIONALS)
    again = open_pack(voices, ["ah-0", "ah-1"], FUNCTIONALS)
    assert not again.built
    assert again.offsets.tolist() == [0, 1, 2]


def test_a_window_is_described_as_if_it_were_a_clip(cache: Path) -> None:
    audio = AudioSettings(set="voice", encoder="none")
    settings = HeadSettings(audio=audio, fusion=FusionSettings(kind="audio"))
    read = read_steps(cache, ["ah-0", "ee-0"], settings)
    cut = read.cut(np.array([1]), np.array([[0.095, 0.295]]))
    steps = find_set(cache, "voice").read("ee-0", ["steps"])["steps"][8:28]
    np.testing.assert_array_equal(cut.sequences["audio"].values, describe_voice(steps)[None, :])


def test_a_table_has_a_row_a_clip_and_the_name_of_each_number(cache: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = open_cache(cache).table("voice", ["ah-0", "silent", "ee-0"], array=FUNCTIONALS)
    assert list(table.columns) == ["clip", "time_seconds", *VOICE_FUNCTIONALS]
    assert table["clip"].tolist() == ["ah-0", "ee-0"]
    out = tmp_path / "voices.csv"
    words = ("voice", "--array", FUNCTIONALS, "--to", "csv", "-o", out)
    assert avfuse("cache", "export", cache, *words).exit_code == 0
    written = pandas.read_csv(out).set_index("clip")
    assert len(written) == 7  # of nine, two have no step
    name = "voiced.f2_hz.p50"
    np.testing.assert_array_equal(
        written.loc[["ah-0", "ee-0"], name].astype(np.float32), table[name]
    )


@pytest.mark.slow
def test_a_head_learns_from_it_answers_and_explains(
    cache: Path, manifest: Path, tmp_path: Path
) -> None:
    labelled = tmp_path / "labelled.csv"
    rows = manifest.read_text().splitlines()
    labelled.write_text("\n".join(row for row in rows if ",," not in row) + "\n")
    run = tmp_path / "run"
    audio = ("--set", "fusion.kind=audio", "--set", "audio.set=voice")
    common = ("--cache", cache, "--run", run, "--folds", "speaker:3")
    trained = avfuse("train", labelled, *common, *audio)
    assert trained.exit_code == 0, trained.output
    assert "all clips (audio 6)" in trained.output
    assert "100.0 %" in trained.output  # two vowels
    told = avfuse("predict", run, manifest.parent / "ee-0.wav", "--json")
    assert told.exit_code == 0, told.output
    (answer,) = json.loads(told.stdout)["videos"]
    assert answer["prediction"] == "ee"
    shown = avfuse("explain", run, "ah-1", "-o", tmp_path / "page.html")
    assert shown.exit_code == 0, shown.output


@pytest.mark.slow
def test_real_sound_is_described(data: Path, tmp_path: Path) -> None:
    take = next((data / "ravdess" / "speech").glob("03-01-05-02-*-01.flac"))
    clips = {
        "take": take,  # an angry man
        "film": sorted((data / "clips" / "labelled").glob("*.mp4"))[0],
        "mute": data / "clips" / "odd" / "very_dark_no_audio.mp4",
    }
    manifest = tmp_path / "manifest.csv"
    rows = ["clip,path", *(f"{name},{path}" for name, path in clips.items())]
    manifest.write_text("\n".join(rows) + "\n")
    cache = tmp_path / "cache"
    result = avfuse("extract", manifest, "--cache", cache, "--sets", "voice", "--jobs", "0")
    assert "2 ok, 1 partial" in result.output
    voices = find_set(cache, "voice")
    pitch = voices.read("take")["steps"][:, VOICE_STEPS.index("pitch_hz")]
    assert 80 < np.median(pitch[pitch > 0]) < 400
    assert len(voices.read("film")["steps"]) > 50
    assert len(voices.read("mute")["steps"]) == 0
