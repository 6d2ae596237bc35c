"""The network that avfuse ships: taken where no weights are named, and asked about any video."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from cache.feature_set import find_set
from cache.manifest import read_manifest
from cache.settings import settings_from
from extractors import default_network
from extractors.weight_files import WeightsError
from pipeline.cli import main
from pipeline.crops import CropSettings, resolve_framing
from pipeline.curve import ASCII_LEVELS, CurveError, draw_line, format_answer, write_curves
from pipeline.default_network import SEVEN, Answer, Curve, ask_default_network, seven_of
from pipeline.replay import replay_plan
from pipeline.rungs import Rung
from pipeline.sets import Plan, PlanError, plan_sets, tell_default
from pipeline.settings import StageOneSettings
from tests.pipeline.default_weights import CLASSES, FACTS, ship_small_default, without
from tests.pipeline.videos import grey_frame, write_video, write_wav


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return ship_small_default(monkeypatch, tmp_path / "default.safetensors")


@pytest.fixture
def clip(corpus: Path) -> Path:
    return read_manifest(corpus).clips[0].path


def plan(tmp_path: Path, sets: Sequence[str] = ("resnet18",), **values: Any) -> Plan:
    settings = settings_from(StageOneSettings, values)
    return plan_sets(sets, settings, {}, cache=tmp_path / "c", device="cpu")


def avfuse(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


# extract


def test_without_weights_the_default_is_planned_as_its_file_says(
    default: Path, tmp_path: Path
) -> None:
    made = plan(tmp_path).sets[-1]
    assert not made.spec.untrained
    assert str(made.weights) == "default"
    assert (made.spec.settings["image_size"], made.spec.settings["colour"]) == (24, "grey")
    assert made.spec.settings["detail"] == 12
    crops = made.spec.settings["crops"]
    assert (crops["extend"], crops["lift"], crops["framing"]) == (0.5, 0.1, "given")
    assert tell_default(made).startswith(
        "resnet18: the default weights that come with avfuse, right on 75.00 % of 8 images of FER+"
    )


def test_other_default_weights_have_another_key(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan(tmp_path).sets[-1].spec
    ship_small_default(monkeypatch, default, seed=4)
    second = plan(tmp_path).sets[-1].spec
    assert (first.weights, first.key) != (second.weights, second.key)
    assert first.settings == second.settings


def test_what_the_user_sets_goes_before_what_the_file_says(default: Path, tmp_path: Path) -> None:
    network = {"image_size": 48, "colour": "rgb", "detail": 20}
    found = plan(tmp_path, network=network, crops={"extend": 0.2}).sets[-1].spec.settings
    assert {name: found[name] for name in network} == network
    assert (found["crops"]["extend"], found["crops"]["lift"]) == (0.2, 0.0)
    papers = plan(tmp_path, crops={"framing": "given"}).sets[-1].spec.settings
    assert (papers["crops"]["extend"], papers["crops"]["lift"]) == (0.3, 0.0)


def test_each_of_these_is_in_the_key(default: Path, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"network": {"colour": "rgb"}},
        {"network": {"detail": 24}},
        {"network": {"image_size": 48}},
        {"crops": {"framing": "given"}},
        {"crops": {"lift": 0.2}},
    ]
    keys = [plan(tmp_path, **change).sets[-1].spec.key for change in changes]
    assert len(set(keys)) == len(keys)


def test_weights_frame_aligned_faces_only() -> None:
    box = CropSettings(align="box")
    assert resolve_framing(box, FACTS) == replace(box, framing="given")
    assert resolve_framing(CropSettings(), None) == CropSettings(framing="given")


def test_a_network_that_ships_without_weights_asks_for_them(default: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="ir50 needs weights: pass --weights ir50=FILE"):
        plan(tmp_path, ["ir50", "resnet18"])
    result = avfuse(
        "extract", "m.csv", "--cache", tmp_path, "--sets", "ir50", "--weights", "ir50=default"
    )
    assert result.exit_code == 2


def test_networks_with_other_framings_get_crops_of_their_own(
    default: Path, corpus: Path, clip: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"clip,path\nc,{clip}\n")
    basic = ("--views", "basic", "--jobs", "0")
    both = avfuse(
        *("extract", manifest, "--cache", tmp_path / "c", "--sets", "resnet18,vggface", *basic),
        *("--weights", "vggface=random"),
    )
    assert both.exit_code == 0, both.output
    assert both.stderr.count("the default weights that come with avfuse") == 1
    alone = avfuse(
        *("extract", manifest, "--cache", tmp_path / "d", "--sets", "resnet18", *basic),
        *("--weights", "resnet18=default"),
    )
    assert alone.exit_code == 0, alone.output
    stored = [find_set(tmp_path / name, "resnet18") for name in "cd"]
    assert stored[0].spec.key == stored[1].spec.key
    first, second = (one.read("c").arrays["basic"] for one in stored)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    assert stored[0].provenance["weights"] == "default"
    assert "75.00 %" in stored[0].provenance["accuracy_of_default"]
    random = find_set(tmp_path / "c", "vggface").spec
    assert random.untrained
    assert random.settings["crops"]["extend"] == 0.3
    other = avfuse(
        *("extract", manifest, "--cache", tmp_path / "e", "--sets", "resnet18,vggface", *basic),
        *("--weights", "vggface=random", "--set", "crops.framing=given"),
    )
    assert other.exit_code == 0, other.output
    third = find_set(tmp_path / "e", "resnet18").read("c").arrays["basic"]
    assert np.abs(first - third).max() > 1e-3 * np.abs(first).max()
    beside, among = (find_set(tmp_path / name, "vggface") for name in "ce")
    assert beside.spec.key == among.spec.key  # whose crops are the papers' either way
    values = [one.read("c").arrays["basic"] for one in (beside, among)]
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)


def test_a_run_finds_the_default_again_wherever_avfuse_is_installed_and_no_other(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = {
        made.spec.key: (made.spec, {"weights": str(made.weights or "")})
        for made in plan(tmp_path, crops={"size": 64}).sets
    }
    key = list(recorded)[-1]
    moved = default.rename(tmp_path / "elsewhere.safetensors")
    monkeypatch.setitem(default_network.DEFAULT_FILES, "resnet18", moved)
    assert replay_plan(recorded, key, {}, cache=tmp_path / "c").sets[-1].spec.key == key
    ship_small_default(monkeypatch, moved, seed=4)
    with pytest.raises(PlanError, match=r"resnet18 .* can't be made again: weights: "):
        replay_plan(recorded, key, {}, cache=tmp_path / "c")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("gone", "default.safetensors; install avfuse again"),
        ("cut", "is no sound safetensors file"),
        ("nan", "conv1.weight holds nan, inf"),
        ("wide", r"does not fit ResNet18[\s\S]*conv1.weight: \[5, 3, 7, 7\], not \[4, 3, 7, 7\]"),
        ("text", "is no weight file"),
    ],
)
def test_a_default_file_that_is_no_good_is_refused_naming_it(
    damage: str, message: str, default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "gone":
        default.unlink()
    elif damage == "cut":
        default.write_bytes(default.read_bytes()[:-100])
    elif damage == "text":
        default.write_text("not weights")
    else:
        bad = torch.full((4, 3, 7, 7), torch.nan) if damage == "nan" else torch.zeros(5, 3, 7, 7)
        ship_small_default(monkeypatch, default, conv1__weight=bad)
    with pytest.raises(WeightsError, match=message):
        plan(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"")
    result = avfuse("predict", tmp_path / "v.mp4")
    assert result.exit_code == 2
    assert "default.safetensors" in result.stderr


def test_a_default_that_lacks_one_of_the_seven_classes_is_refused(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_small_default(monkeypatch, default, facts=without("fear"))
    with pytest.raises(PlanError, match="can't tell fear; install avfuse again"):
        ask_default_network([tmp_path / "v.mp4"])


# predict without a run


def test_a_video_gets_the_mean_over_its_frames_with_a_face(default: Path, clip: Path) -> None:
    result = avfuse("predict", clip, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["run"] is None
    assert "default network alone" in answer["note"]
    assert "no sound" in answer["note"]
    assert answer["classes"] == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    (video,) = answer["videos"]
    assert (video["state"], video["frames"], video["frames_with_face"]) == ("ok", 20, 20)
    assert not video["untrained"]
    rows = [frame["probabilities"] for frame in video["curve"]]
    for name in CLASSES:
        mean = np.mean([row[name] for row in rows])
        assert video["network_probabilities"][name] == pytest.approx(mean, abs=1e-4)
    kept = 1 - video["network_probabilities"]["contempt"]
    for theirs, ours in SEVEN.items():
        expected = video["network_probabilities"][theirs] / kept
        assert video["probabilities"][ours] == pytest.approx(expected)
    assert sum(video["probabilities"].values()) == pytest.approx(1)
    assert video["prediction"] == max(video["probabilities"], key=video["probabilities"].get)
    times = [frame["time_seconds"] for frame in video["curve"]]
    assert [round(time * 12) for time in times] == list(range(20))


def test_a_reader_gets_bars_a_line_over_time_and_where_it_comes_from(
    default: Path, clip: Path, tmp_path: Path
) -> None:
    table, picture = tmp_path / "c.csv", tmp_path / "c.png"
    result = avfuse("predict", clip, "--curve", table)
    assert result.exit_code == 0, result.output
    assert "(face in 20 of 20 frames)" in result.stdout
    assert "contempt, which is none of the seven" in result.stdout
    assert "right on 75.00 % of 8 images of FER+ test" in result.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert sum(float(rows[7][name]) for name in CLASSES) == pytest.approx(1, abs=1e-3)
    assert rows[7]["video"] == str(clip)
    write_curves(picture, ask_default_network([clip]).videos)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_video_without_a_face_gets_no_emotion_and_exit_code_1(
    default: Path, clip: Path, tmp_path: Path
) -> None:
    blank = write_video(tmp_path / "blank.mp4", [grey_frame(n, 96, 128) for n in range(3)])
    result = avfuse("predict", blank, clip)
    assert result.exit_code == 1
    assert "blank.mp4: no answer" in result.stdout
    assert "no face was found in any of its 3 frames, so no emotion is named" in result.stdout
    assert "(face in 20 of 20 frames)" in result.stdout
    answer = json.loads(avfuse("predict", blank, "--json").stdout)
    (video,) = answer["videos"]
    assert (video["prediction"], video["probabilities"]) == (None, None)
    assert [frame["probabilities"] for frame in video["curve"]] == [None] * 3


def test_a_file_with_sound_only_and_a_broken_one_say_so(default: Path, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", np.zeros((1, 1600), np.float32), 16_000)
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    result = avfuse("predict", sound, broken, tmp_path / "gone.mp4", "--json")
    assert result.exit_code == 1
    first, second, third = json.loads(result.stdout)["videos"]
    assert "this network looks at faces only: no emotion is named" in first["why"][-1]
    assert (second["state"], third["state"]) == ("failed", "failed")
    assert "it looks like text" in second["why"][0]
    for video in (first, second, third):
        assert video["prediction"] is None


def test_it_is_said_what_predict_expects(default: Path, tmp_path: Path) -> None:
    assert "name a video, or a run and a video" in avfuse("predict").stderr
    (tmp_path / "folder").mkdir()
    result = avfuse("predict", tmp_path / "folder")
    assert (result.exit_code, "expected a video" in result.stderr) == (2, True)
    result = avfuse("predict", tmp_path / "v.mp4", "--curve", "c.pdf")
    assert (result.exit_code, "ends in .csv or .png" in result.stderr) == (2, True)
    result = avfuse("predict", tmp_path / "v.mp4", "--weights", "resnet18=x")
    assert (result.exit_code, "no run is named" in result.stderr) == (2, True)
    result = avfuse("predict", tmp_path / "folder", "v.mp4", "--curve", "c.csv")
    assert (result.exit_code, "leave out the run" in result.stderr) == (2, True)
    with pytest.raises(CurveError, match=r"c.txt: expected a name that ends in .csv or .png"):
        write_curves(tmp_path / "c.txt", ())


def curve(*rows: float, faces: Sequence[int] | None = None) -> Curve:
    """A curve of two classes, the first with these probabilities."""
    times = np.arange(len(rows)) / 10
    rung = np.array([Rung.DETECT if on else Rung.WHOLE for on in faces or [1] * len(rows)])
    return Curve(times, rung, np.array([(row, 1 - row) for row in rows]), ("anger", "contempt"))


def test_frames_without_a_face_are_in_no_mean_and_blank_in_the_line() -> None:
    shown = curve(0.0, 0.9, 0.5, 1.0, faces=[1, 0, 1, 1])
    assert shown.mean() == {"anger": pytest.approx(0.5), "contempt": pytest.approx(0.5)}
    assert draw_line(shown, "anger", levels="0123") == "0 23"
    assert curve(0.9, faces=[0]).mean() is None


def test_a_long_curve_is_averaged_into_columns() -> None:
    assert draw_line(curve(0.0, 0.4, 1.0, 0.8), "anger", levels="0123456789", columns=2) == "29"
    assert draw_line(curve(0.3), "anger", levels="0123456789") == "3"


def test_contempt_is_left_out_and_the_rest_sums_to_one() -> None:
    own = dict.fromkeys(CLASSES, 0.1) | {"happiness": 0.2}
    assert seven_of(own)["happy"] == pytest.approx(0.25)
    assert sum(seven_of(own).values()) == pytest.approx(1)
    assert seven_of(dict.fromkeys(CLASSES, 0.0) | {"contempt": 1.0})["sad"] == pytest.approx(1 / 7)


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    shown = curve(0.0, 1.0)
    answer = Answer(Path("v.mp4"), "ok", (), shown, shown.mean(), {"angry": 1.0})
    text = format_answer(answer, ascii_only=True)
    assert text.isascii()
    assert f"|{ASCII_LEVELS[0]}{ASCII_LEVELS[-1]}|" in text
    assert "█" in format_answer(answer)


def test_the_first_thing_a_newcomer_tries_works(clip: Path, tmp_path: Path) -> None:
    """The shipped file, a real process, a video in a folder with a blank in its name."""
    video = tmp_path / "my videos" / "first.mp4"
    video.parent.mkdir()
    shutil.copy(clip, video)
    command = [sys.executable, "-m", "pipeline", "predict", str(video), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["videos"]
    assert answer["prediction"] in SEVEN.values()
    assert answer["frames_with_face"] == 20


@pytest.mark.parametrize("name", ["corrupted.mp4", "rotated_90.mov", "tiny_face_176x144.mp4"])
def test_real_odd_files_end_with_an_answer_or_a_reason(
    default: Path, data: Path, name: str
) -> None:
    answer = ask_default_network([data / "clips" / "odd" / name]).videos[0]
    assert (answer.prediction is None) == (not answer.curve.has_face.any())
    assert answer.prediction or answer.why
