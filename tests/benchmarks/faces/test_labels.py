from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.faces.__main__ import main
from benchmarks.faces.labels import Label, read_labels
from benchmarks.faces.metrics import own_person

GOOD = {"box": [1, 2, 31, 42], "person": "A", "kind": "face"}


def write(folder: Path, frame: str, **changed: Any) -> None:
    clip = {"frame_size": [53, 97], "frames": {frame: [{**GOOD, **changed}]}}
    (folder / "some.json").write_text(json.dumps({"some/clip.mp4": clip}))


def test_labels_are_read(tmp_path: Path) -> None:
    write(tmp_path, "10", seen_by=["mtcnn"])
    clip = read_labels(tmp_path)["some/clip.mp4"]
    assert clip.frame_size == (53, 97)
    assert clip.frames == {10: [Label((1, 2, 31, 42), "A", "face", ("mtcnn",))]}
    assert clip.frames[10][0].side == 30


@pytest.mark.parametrize(
    ("frame", "changed", "problem"),
    [
        ("11", {}, "some/clip.mp4: expected labels of frames 0, 10, 20"),
        ("10", {"kind": "mask"}, "frame 10: kind must be one of face, unclear, drawn, got 'mask'"),
        ("10", {"box": [5, 5, 5, 9]}, "frame 10: the box .* is empty or outside"),
        ("10", {"box": [97, 5, 99, 9]}, "outside the frame of 97x53"),
    ],
)
def test_wrong_labels_are_refused(
    tmp_path: Path, frame: str, changed: dict[str, Any], problem: str
) -> None:
    write(tmp_path, frame, **changed)
    with pytest.raises(ValueError, match=problem):
        read_labels(tmp_path)


def test_our_own_labels_say_every_tenth_frame() -> None:
    labels = read_labels()
    assert len(labels) >= 31
    for clip in labels.values():
        assert list(clip.frames) == list(range(0, 10 * len(clip.frames), 10))
    assert own_person(labels["faces/single_face.mp4"]) == "man-in-black-shirt"
    assert own_person(labels["odd/no_face.mp4"]) is None


def test_the_benchmark_measures_a_clip_and_asks_plain_detectors_once(
    data: Path, tmp_path: Path
) -> None:
    plain, output = tmp_path / "plain.json", tmp_path / "result.json"
    command = ["faces/several_faces_5_frames.mp4", "--data", str(data)]
    command += ["--plain", str(plain), "-o", str(output), "--set", "faces.second=none"]
    kept = []
    for _ in range(2):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        kept.append(plain.read_bytes())
    assert kept[0] == kept[1]
    result = json.loads(output.read_text())
    assert result["settings"] == ["faces.second=none"]
    assert result["all"]["with_face_of_dlib"] == 4
    assert result["all"]["counts"]["frames"] == 1
    refused = CliRunner().invoke(main, ["elsewhere", "--data", str(data)])
    assert "no labels of elsewhere" in refused.output
