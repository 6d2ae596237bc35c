"""From a run to an answer for any video, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cache.manifest.manifest import read_manifest
from pipeline.cli import main
from trainer.runs.folder import read_run

SOUND = "audio.set=spectrogram"
QUICK = ("--set", "optim.epochs=2", "--set", "optim.batch_size=3")


@pytest.fixture(scope="module")
def run(corpus: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two heads on the generated corpus."""
    folder = tmp_path_factory.mktemp("run") / "r"
    command = ["train", str(corpus), "--cache", str(extracted), "--preset", "icmi19", *QUICK]
    command += ["--run", str(folder), "--set", "video.set=resnet18", "--seeds", "2"]
    result = CliRunner().invoke(main, command)
    if result.exit_code != 0:
        pytest.fail(result.output)
    return folder


def predict(run: Path, *arguments: object) -> tuple[Result, dict[str, Any]]:
    result = CliRunner().invoke(main, ["predict", str(run), *map(str, arguments)])
    return result, json.loads(result.stdout) if result.stdout else {}


@pytest.mark.slow
def test_a_held_out_clip_gets_the_probabilities_that_the_run_reported(
    corpus: Path, run: Path
) -> None:
    clip = next(clip for clip in read_manifest(corpus).clips if clip.split == "val")
    result, answer = predict(run, clip.path)
    assert result.exit_code == 0
    (video,) = answer["videos"]
    predictions = read_run(run).predictions
    row = predictions.clips.index(clip.id)
    reported = dict(zip(predictions.classes, predictions.probabilities[row], strict=True))
    # Extraction ran on one thread there and on all here, and lengths were padded otherwise.
    assert video["probabilities"] == pytest.approx(reported, abs=1e-4)
    assert video["prediction"] == predictions.predictions[row]
    assert (video["state"], answer["heads"], answer["classes"]) == (
        "ok",
        2,
        ["happy", "sad", "surprise"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["discriminant", "svm"])
def test_a_head_that_was_fitted_at_once_answers_as_its_run_reported(
    kind: str, corpus: Path, extracted: Path, tmp_path: Path
) -> None:
    command = ["train", str(corpus), "--cache", str(extracted), "--run", str(tmp_path / "run")]
    result = CliRunner().invoke(
        main, [*command, "--preset", "svm", "--set", f"head.kind={kind}", "--set", SOUND]
    )
    assert result.exit_code == 0, result.output
    clip = next(clip for clip in read_manifest(corpus).clips if clip.split == "val")
    _, answer = predict(tmp_path / "run", clip.path)
    predictions = read_run(tmp_path / "run").predictions
    reported = predictions.probabilities[predictions.clips.index(clip.id)]
    found = list(answer["videos"][0]["probabilities"].values())
    assert found == pytest.approx(reported.tolist(), abs=1e-3)
    assert [step["weight"] for step in answer["videos"][0]["attention"]["video"]] == [1.0]


@pytest.mark.slow
def test_every_frame_and_audio_step_has_its_time_and_a_weight(corpus: Path, run: Path) -> None:
    _, answer = predict(run, read_manifest(corpus).clips[0].path)
    attention = answer["videos"][0]["attention"]
    assert [round(step["time_seconds"] * 12) for step in attention["video"]] == list(range(20))
    assert {step["face"] for step in attention["video"]} == {"detect"}
    counts = [answer["videos"][0][name] for name in ("frames", "frames_with_face", "frames_seen")]
    assert counts == [20, 20, 20]
    for steps in attention.values():
        assert sum(step["weight"] for step in steps) == pytest.approx(1.0, abs=1e-5)
        times = [step["time_seconds"] for step in steps]
        assert times == sorted(set(times))
    assert len(attention["audio"]) > 1


@pytest.mark.slow
def test_random_weights_mark_the_answer_untrained(corpus: Path, run: Path) -> None:
    result, answer = predict(run, read_manifest(corpus).clips[0].path)
    assert answer["untrained"] is True
    assert answer["videos"][0]["untrained"] is True
    assert "marked untrained" in result.stderr
    assert (answer["note"], answer["worth"]) == (None, None)


@pytest.mark.slow
def test_an_answer_is_worth_what_the_run_measured_on_the_clips_that_it_was_tested_on(
    corpus: Path, extracted: Path, tmp_path: Path
) -> None:
    heard = ("--set", "audio.set=logmel", "--set", "fusion.kind=audio", *QUICK)
    command = [
        "train",
        str(corpus),
        "--cache",
        str(extracted),
        "--run",
        str(tmp_path / "r"),
        *heard,
    ]
    assert CliRunner().invoke(main, command).exit_code == 0
    _, answer = predict(tmp_path / "r", read_manifest(corpus).clips[0].path)
    figures = read_run(tmp_path / "r").metrics["all"]["ensemble"]
    (measured,) = answer["worth"]["measured"]
    assert (measured["n"], measured["right"]) == (figures["n"], figures["correct"])
    assert f"{figures['n']} clips that its heads were tested on" in answer["note"]


@pytest.mark.slow
def test_a_broken_video_is_failed_with_its_reason_beside_a_good_one(
    corpus: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.mp4").write_text("not a video")
    result, answer = predict(run, tmp_path / "notes.mp4", read_manifest(corpus).clips[0].path)
    assert result.exit_code == 1
    broken, good = answer["videos"]
    assert broken["state"] == "failed"
    assert "it looks like text" in broken["why"][0]
    assert broken["prediction"] is None
    assert broken["probabilities"] is None
    assert good["prediction"] in answer["classes"]


@pytest.mark.slow
def test_a_picture_is_no_clip_to_a_run(run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "photo.jpg")
    result, answer = predict(run, tmp_path / "photo.jpg")
    assert result.exit_code == 1
    (picture,) = answer["videos"]
    assert (picture["state"], picture["prediction"]) == ("failed", None)
    assert picture["why"] == [
        f"{tmp_path / 'photo.jpg'} is a JPEG picture, not a video; features and runs need clips; "
        "`avfuse predict` without a run answers for a picture"
    ]


@pytest.mark.slow
def test_a_video_without_sound_is_predicted_from_its_picture_and_says_so(
    corpus: Path, run: Path, tmp_path: Path
) -> None:

    silent = tmp_path / "silent.mp4"
    with (
        av.open(str(read_manifest(corpus).clips[0].path)) as source,
        av.open(str(silent), "w") as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    _, answer = predict(run, silent)
    (video,) = answer["videos"]
    assert video["state"] == "partial"
    assert "no audio stream" in video["why"]
    assert video["attention"]["audio"] == []
    assert video["prediction"] in answer["classes"]


@pytest.mark.slow
def test_a_missing_run_and_a_missing_video_are_named(run: Path, tmp_path: Path) -> None:
    result, _ = predict(tmp_path / "none", "x.mp4")
    assert result.exit_code == 2
    assert "is not a run folder" in result.stderr
    result, _ = predict(run, tmp_path / "gone.mp4")
    assert result.exit_code == 2
    assert "gone.mp4: no such file" in result.stderr


@pytest.mark.slow
def test_weights_that_moved_are_asked_for(run: Path, corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    info = json.loads((copy / "run.json").read_text())
    for item in info["sets"]:
        if item["name"] == "resnet18":
            item["provenance"]["weights"] = str(tmp_path / "moved.pth")
    (copy / "run.json").write_text(json.dumps(info))
    video = read_manifest(corpus).clips[0].path
    result, _ = predict(copy, video)
    assert result.exit_code == 2
    assert "pass --weights resnet18=FILE" in result.stderr
    assert predict(copy, video, "--weights", "resnet18=random")[0].exit_code == 0
    result, _ = predict(copy, video, "--weights", "resnet18=random:1")
    assert result.exit_code == 2
    assert "can't be made again: weights: " in result.stderr


@pytest.mark.slow
def test_a_set_that_came_from_elsewhere_cannot_be_made_of_a_video(
    run: Path, corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    info = json.loads((copy / "run.json").read_text())
    for item in info["sets"]:
        item["spec"]["name"] = "openface" if item["name"] == "resnet18" else item["name"]
    (copy / "run.json").write_text(json.dumps(info))
    result, _ = predict(copy, read_manifest(corpus).clips[0].path)
    assert result.exit_code == 2
    assert "avfuse can't make from a video" in result.stderr


@pytest.mark.slow
def test_a_newcomer_extracts_trains_and_predicts_without_naming_a_set_or_a_preset(
    corpus: Path, tmp_path: Path
) -> None:
    cache, run = tmp_path / "cache", tmp_path / "run"
    common = (str(corpus), "--cache", str(cache))
    assert CliRunner().invoke(main, ["extract", *common]).exit_code == 0
    trained = CliRunner().invoke(main, ["train", *common, "--run", str(run), "--seeds", "2"])
    assert trained.exit_code == 0, trained.output
    assert [item["stacked_seeds"] for item in read_run(run).info["checkpoints"]] == [[0, 1]] * 2
    assert CliRunner().invoke(main, ["evaluate", str(run)]).exit_code == 0
    clip = next(clip for clip in read_manifest(corpus).clips if clip.split == "val")
    _, answer = predict(run, clip.path)
    (video,) = answer["videos"]
    predictions = read_run(run).predictions
    reported = predictions.probabilities[predictions.clips.index(clip.id)]
    assert list(video["probabilities"].values()) == pytest.approx(reported.tolist(), abs=1e-4)
    sound, frames = video["attention"]["audio"], video["attention"]["video"]
    assert [step["weight"] for step in sound] == pytest.approx([1.0])
    assert len(frames) > 1
    assert sum(f["weight"] for f in frames) == pytest.approx(1.0)
    assert 0.0 < sound[0]["time_seconds"] < frames[-1]["time_seconds"]


@pytest.mark.slow
def test_a_run_predicts_on_a_gpu_what_it_predicts_on_the_processor(
    corpus: Path, run: Path, gpu: str
) -> None:
    clip = read_manifest(corpus).clips[0].path
    answers = [predict(run, clip, "--device", device)[1]["videos"][0] for device in (gpu, "cpu")]
    assert answers[0]["prediction"] == answers[1]["prediction"]
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"], abs=1e-4)


@pytest.mark.slow
def test_a_run_trained_on_a_gpu_predicts_on_the_processor(
    corpus: Path, extracted: Path, tmp_path: Path, gpu: str
) -> None:
    command = ["train", str(corpus), "--cache", str(extracted), "--preset", "icmi19", *QUICK]
    command += ["--run", str(tmp_path / "r"), "--set", "video.set=resnet18", "--device", gpu]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    clip = next(clip for clip in read_manifest(corpus).clips if clip.split == "val")
    _, answer = predict(tmp_path / "r", clip.path, "--device", "cpu")
    predictions = read_run(tmp_path / "r").predictions
    row = predictions.clips.index(clip.id)
    reported = dict(zip(predictions.classes, predictions.probabilities[row], strict=True))
    assert answer["videos"][0]["probabilities"] == pytest.approx(reported, abs=1e-4)


@pytest.mark.slow
def test_a_runs_answer_is_filmed_and_plotted(corpus: Path, run: Path, tmp_path: Path) -> None:
    video = read_manifest(corpus).clips[0].path
    film, plot = tmp_path / "film.mp4", tmp_path / "plot.svg"
    drawing = ["--video", str(film), "--plot", str(plot)]
    result, answer = predict(run, video, *drawing)
    assert result.exit_code == 0, result.output
    assert f"written: {film}" in result.stderr
    with av.open(str(film)) as container:
        assert len(list(container.decode(video=0))) == answer["videos"][0]["frames"]
        assert len(list(container.streams.audio)) == 1
    assert video.name in plot.read_text()
    again = predict(run, video, *drawing)[0]
    assert (again.exit_code, "exists; pass --overwrite" in again.stderr) == (2, True)
