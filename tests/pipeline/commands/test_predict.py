"""The network that avfuse ships, asked about any video: an answer, or the reason for none."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import find_set
from extractors.weights.class_names import SEVEN
from pipeline.extract.weights import PlanError
from pipeline.faces.second import find_model
from pipeline.faces.settings import FaceSettings
from pipeline.media.frames import VideoReader
from pipeline.predict.by_default import ask_default_network
from pipeline.predict.curve import CurveError, write_curves
from tests.pipeline.command import avfuse
from tests.pipeline.default_weights import CLASSES, FACTS, ship_small_default, without
from tests.pipeline.scenes import astronaut, background, place
from tests.pipeline.videos import grey_frame, write_video, write_wav
from tests.stopping import stop_when


@pytest.mark.slow
def test_a_default_that_lacks_one_of_the_seven_classes_is_refused(
    default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship_small_default(monkeypatch, default, facts=without("fear"))
    with pytest.raises(PlanError, match="can't tell fear; install avfuse again"):
        ask_default_network([tmp_path / "v.mp4"])


@pytest.mark.slow
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
    for name in SEVEN:
        expected = video["network_probabilities"][name] / kept
        assert video["probabilities"][name] == pytest.approx(expected)
    assert sum(video["probabilities"].values()) == pytest.approx(1)
    assert video["prediction"] == max(video["probabilities"], key=video["probabilities"].get)
    times = [frame["time_seconds"] for frame in video["curve"]]
    assert [round(time * 12) for time in times] == list(range(20))


@pytest.mark.slow
def test_a_reader_gets_bars_a_line_over_time_and_where_it_comes_from(
    default: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, picture = tmp_path / "c.csv", tmp_path / "c.png"
    film = tmp_path / "films"
    monkeypatch.chdir(clip.parent)  # a video named without its folder has its film too
    result = avfuse("predict", clip.name, "--curve", table, "--plot", picture, "--video", film)
    assert result.exit_code == 0, result.output
    assert "(face in 20 of 20 frames)" in result.stdout
    assert "contempt, which is none of the seven" in result.stdout
    assert "Right on 6 of 8 still photographs (FER+ test), 75 %.\nTreat it as" in result.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    assert sum(float(rows[7][name]) for name in CLASSES) == pytest.approx(1, abs=1e-3)
    assert rows[7]["video"] == str(clip)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with av.open(str(film / f"{clip.stem}.mp4")) as container:
        assert [float(f.pts * f.time_base) for f in container.decode(video=0)] == pytest.approx(
            [float(row["time_seconds"]) for row in rows], abs=1e-3
        )
    assert f"written: {film / clip.stem}.mp4" in result.stderr


@pytest.mark.slow
def test_a_video_without_a_face_gets_no_emotion_and_exit_code_1(
    default: Path, clip: Path, tmp_path: Path
) -> None:
    blank = write_video(tmp_path / "blank.mp4", [grey_frame(n, 96, 128) for n in range(3)])
    result = avfuse("predict", blank, clip)
    assert result.exit_code == 1
    assert "blank.mp4: no answer" in result.stdout
    assert "From the default network alone" in result.stdout
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
    answer = json.loads(result.stdout)
    assert answer["note"] is None  # nothing was answered
    first, second, third = answer["videos"]
    assert "this network looks at faces only: no emotion is named" in first["why"][-1]
    assert (second["state"], third["state"]) == ("failed", "failed")
    assert third["why"] == [f"{tmp_path / 'gone.mp4'} does not exist"]
    assert "it looks like text" in second["why"][0]
    for video in (first, second, third):
        assert video["prediction"] is None
    read = avfuse("predict", broken)
    assert read.output.count(str(broken)) == 1  # once, and by no other name
    assert f"no answer: {broken} is not a video" in read.output
    assert "From the default network" not in read.output
    assert "Right on" not in read.output


@pytest.fixture
def still(clip: Path, tmp_path: Path) -> Path:
    """The first frame of a clip as a picture, without loss."""
    image = next(iter(VideoReader(clip))).images[0]
    path = tmp_path / "photo.png"
    Image.fromarray(image).save(path)
    return path


@pytest.mark.slow
def test_a_picture_is_answered_for_as_a_video_of_that_frame_is(
    default: Path, still: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        image = np.asarray(Image.open(still))
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "bgr0"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    result = avfuse("predict", still, film, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["note"].endswith("Treat it as a hint.")
    picture, video = answer["videos"]
    assert (picture["kind"], video["kind"]) == ("picture", "clip")
    assert (picture["video"], picture["state"], picture["why"]) == (str(still), "ok", [])
    assert (picture["frames"], picture["frames_with_face"], picture["curve"]) == (1, 1, [])
    assert picture["prediction"] == video["prediction"]
    assert picture["probabilities"] == pytest.approx(video["probabilities"], abs=1e-6)
    assert avfuse("predict", still).stdout.endswith(
        "no sound.\nRight on 6 of 8 still photographs (FER+ test), 75 %.\nTreat it as a hint.\n"
    )


@pytest.mark.slow
def test_a_picture_of_48_pixels_goes_through_the_detectors_of_a_video(
    default: Path, tmp_path: Path
) -> None:
    head = Image.fromarray(astronaut()[40:220, 140:310])
    for side in (48, 96):
        head.resize((side, side)).save(tmp_path / f"{side}.png")
    answers = json.loads(avfuse("predict", *tmp_path.glob("*.png"), "--json").stdout)["videos"]
    assert [(one["frames"], one["frames_seen"]) for one in answers] == [(1, 1)] * 2


@pytest.mark.slow
def test_a_reader_is_told_that_a_picture_is_one(default: Path, still: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "wall.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "wall.jpg").read_bytes()[:99])
    result = avfuse("predict", still, tmp_path / "wall.jpg", tmp_path / "cut.jpg")
    assert result.exit_code == 1
    assert "(one picture, not a clip: it shows no change over time)" in result.stdout
    assert "over time, " not in result.stdout
    assert "no face was found in it, so no emotion is named" in result.stdout
    assert f"no answer: {tmp_path / 'cut.jpg'} is a picture that can't be read" in result.stdout
    alone = avfuse("predict", tmp_path / "cut.jpg", "--json")
    assert (alone.exit_code, json.loads(alone.stdout)["videos"][0]["state"]) == (1, "failed")
    table = tmp_path / "c.csv"
    result = avfuse("predict", still, tmp_path / "wall.jpg", "--curve", table)
    assert (result.exit_code, "a picture has no curve over time" in result.stderr) == (2, True)
    assert not table.exists()


def test_what_is_not_there_or_no_file_ends_with_exit_code_2(default: Path, tmp_path: Path) -> None:
    for name in ("clips/a.mp4", "clips/b.mp4", "clips/notes.txt", "run/run.json", "frames/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "frames/2.jpg").touch()
    clips = tmp_path / "clips"
    for paths, said in {
        (
            clips,
        ): f"is a folder: expected a video or picture; name its files, as with {clips}/*.mp4 "
        "(2 there)",
        (clips / "a.mp4", clips): f"{clips} is a folder: expected a video",
        (tmp_path / "frames",): "make it with `ffmpeg -framerate RATE -start_number 1 -i ",
        (tmp_path,): "it holds clips, ",
        (tmp_path / "run",): "is a run: expected a video; name the videos to classify after it",
        ("https://example.org/a.mp4",): "https://example.org/a.mp4 is a URL, and avfuse works off",
        (clips / "a.mp4", "rtsp://host/x"): "rtsp://host/x is a URL",
        (clips / "b.mp",): "b.mp: no such file (did you mean 'b.mp4'?)",
        (tmp_path / "c/b.mp4",): f"no such file; there is no folder {tmp_path / 'c'}",
        (tmp_path / "nothing",): "nothing: no such file",
    }.items():
        result = avfuse("predict", *paths)
        assert result.exit_code == 2, paths
        assert said in " ".join(result.stderr.split()), result.stderr
        assert result.stdout == ""


def test_it_is_said_what_predict_expects(default: Path, tmp_path: Path) -> None:
    assert "name a video, or a run and a video" in avfuse("predict").stderr
    (tmp_path / "folder").mkdir()
    result = avfuse("predict", tmp_path / "folder")
    assert (result.exit_code, "expected a video" in result.stderr) == (2, True)
    result = avfuse("predict", tmp_path / "v.mp4", "--curve", "c.pdf")
    assert (result.exit_code, "ends in .csv; --plot draws it" in result.stderr) == (2, True)
    (tmp_path / "mine.csv").write_text("mine")
    result = avfuse("predict", tmp_path / "v.mp4", "--curve", tmp_path / "mine.csv")
    assert (result.exit_code, (tmp_path / "mine.csv").read_text()) == (2, "mine")
    assert "mine.csv exists; pass --overwrite to replace it" in result.stderr
    result = avfuse("predict", tmp_path / "folder", "v.mp4", "--curve", "c.csv")
    assert (result.exit_code, "leave out the run" in result.stderr) == (2, True)
    with pytest.raises(CurveError, match=r"c.txt: expected a name that ends in .csv$"):
        write_curves(tmp_path / "c.txt", ())


def test_settings_and_weights_that_do_not_fit_are_refused_with_what_does(
    default: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "not.onnx").write_text("no model")
    for arguments, said in {
        (clip, "--set", "faces.secnd=none"): "unknown setting faces.secnd; did you mean "
        "faces.second?",
        (clip, "--set", "faces.ladder=paper"): "faces.ladder must be one of full, papers, got",
        (clip, "--set", "faces.policy=person=Ann"): "faces.policy=person=Ann needs a cache whose "
        "persons are known, and single files have none; take another policy, such as largest",
        (clip, "--weights", "resnet18=random"): "--weights resnet18=...: without a run the network "
        "is the one that avfuse ships; only a detector of faces (yunet, mmod) can be given",
        (clip, "--weights", f"yunet={tmp_path / 'not.onnx'}"): "not.onnx is not a YuNet model",
        (tmp_path / "run", clip, "--set", "faces.ladder=papers"): "--set faces.ladder=papers: the "
        "videos are extracted as the run's clips were; leave the option out, or leave out the run",
    }.items():
        result = avfuse("predict", *arguments)
        assert result.exit_code == 2, result.output
        assert said in " ".join(result.stderr.split()), result.stderr


@pytest.mark.slow
def test_without_a_run_faces_are_found_and_chosen_as_settings_say(
    default: Path, tmp_path: Path
) -> None:
    """A face that lies on its side: dlib sees none in it, YuNet does."""
    lying = place(background(240, 320, 3), (160, 120), 90, tilt=75)
    video = write_video(tmp_path / "v.mp4", [lying] * 3, codec="mpeg4", rate=10)
    yunet = find_model(FaceSettings(), None)
    for how, sources in {
        (): ["second"] * 3,
        ("--weights", f"yunet={yunet}"): ["second"] * 3,
        ("--set", "faces.ladder=papers"): ["whole"] * 3,
        ("--set", "faces.second=none"): ["whole"] * 3,
    }.items():
        result = avfuse("predict", video, "--json", *how)
        (answer,) = json.loads(result.stdout)["videos"]
        assert [frame["face"] for frame in answer["curve"]] == sources, how


@pytest.mark.slow
def test_a_frame_is_seen_with_its_mirror_image_and_by_the_files_temperature(
    default: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = (0.0, 1.0, *[0.0] * 6)
    facts = replace(FACTS, temperature=2.0, logit_bias=bias)
    for number, stated in enumerate((FACTS, facts)):
        ship_small_default(monkeypatch, default, facts=stated)
        answers = ask_default_network([clip], cache=tmp_path / "c")
        (curve,) = (answer.curve for answer in answers.videos)
        seen = find_set(tmp_path / "c", "resnet29").read("video-0").arrays
        logits = seen["mean"] @ answers.classifier.weight.T
        shift = np.array(bias) * number
        expected = np.exp(logits.astype(np.float64) / stated.temperature + shift)
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(curve.probabilities, expected, atol=1e-6)
        assert np.abs(seen["mean"] - seen["basic"]).max() > 1e-4
    # One set: neither number is in a key, as neither changes an embedding.
    assert len(list((tmp_path / "c").glob("resnet29-*"))) == 1
    said = answers.to_json()
    assert (said["temperature"], said["logit_bias"]["happy"]) == (2.0, 1.0)


@pytest.mark.slow
def test_the_first_thing_a_newcomer_tries_works(clip: Path, tmp_path: Path) -> None:
    """The shipped file, a real process, a video in a folder with a blank in its name."""
    video = tmp_path / "my videos" / "first.mp4"
    video.parent.mkdir()
    shutil.copy(clip, video)
    command = [sys.executable, "-m", "pipeline", "predict", str(video), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["videos"]
    assert answer["prediction"] in SEVEN
    assert answer["frames_with_face"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["corrupted.mp4", "rotated_90.mov", "tiny_face_176x144.mp4"])
def test_real_odd_files_end_with_an_answer_or_a_reason(
    default: Path, data: Path, name: str
) -> None:
    answer = ask_default_network([data / "clips" / "odd" / name]).videos[0]
    assert (answer.prediction is None) == (not answer.curve.has_face.any())
    assert answer.prediction or answer.why


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_prediction_and_removes_its_cache(
    number: int, code: int, clip: Path, tmp_path: Path
) -> None:
    def at_work() -> bool:
        return any(tmp_path.glob("avfuse-predict-*/*"))

    ended = stop_when(
        at_work, number, ["predict", str(clip)], {**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert ended.returncode == code, ended.stderr
    assert f"Stopped ({signal.Signals(number).name}). Nothing was predicted." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["0", "1"])
def test_the_default_network_answers_on_a_gpu_as_on_the_processor(
    jobs: str, corpus: Path, gpu: str
) -> None:
    video = read_manifest(corpus).clips[0].path
    answers = []
    for device in (gpu, "cpu"):
        result = avfuse("predict", video, "--json", "--device", device, "--jobs", jobs)
        assert result.exit_code == 0, result.output
        answers.append(json.loads(result.stdout)["videos"][0])
    assert answers[0]["prediction"] == answers[1]["prediction"]
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"], abs=1e-4)


@pytest.mark.slow
def test_no_room_for_temporary_files_is_told_in_a_sentence(default: Path, clip: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        result = avfuse("predict", clip, "--jobs", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(result.exception, SystemExit)
    assert "Error: the cache can't be written: " in result.stderr
    assert "avfuse-predict-" in result.stderr
