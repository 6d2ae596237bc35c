"""What lies in a clip is recorded; what lies in the machine or in what is installed is not."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from cache.digest import digest_json
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import find_set
from cache.upkeep.status import read_status
from pipeline.choice.choice import MisfitError
from pipeline.extract import versions
from pipeline.extract.blame import AGAIN, Blame, blame
from pipeline.extract.job import ClipResult, SetResult
from pipeline.extract.plan import plan_sets
from pipeline.extract.run import MAX_FAULTS, FaultsInARow, _died
from pipeline.extract.settings import StageOneSettings
from pipeline.media.container import MediaError, UnreadableError
from pipeline.media.machine import ReadAgainError
from pipeline.media.packets import Faults
from pipeline.workers.error import MEMORY, MachineError, kind_of_fault
from pipeline.workers.pool import WorkerDied
from pipeline.workers.remote import RemoteNetworkError
from tests.pipeline.extracting import extract, report, write_tone

CLIP = Path("/corpus/a.mp4")
SOUND = ("--sets", "spectrogram")
STEPS = "pipeline.extract.sound.AudioSteps.__iter__"


def raised(call: Callable[[], Any]) -> Exception:
    """The error that a call raises, with its place."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever the library has
        call()
    return caught.value


LACKS_MEMORY: dict[str, Callable[[], Any]] = {
    "numpy": lambda: np.empty(1 << 58, np.uint8),
    "OpenCV": lambda: cv2.resize(np.zeros((7, 7), np.uint8), (1 << 20, 1 << 20)),
    "PyTorch": lambda: torch.empty(1 << 58, dtype=torch.uint8),
    "FFmpeg": lambda: av.error.err_check(-errno.ENOMEM),
    "the system": lambda: _fail(errno.ENOMEM),
}


def _fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("library", LACKS_MEMORY)
def test_want_of_memory_is_known_in_the_words_of_every_library(library: str) -> None:
    error = raised(LACKS_MEMORY[library])
    assert kind_of_fault(error) == MEMORY
    found = blame(error, CLIP, "cpu")
    assert found.fault == MEMORY
    assert found.reason.startswith("this machine had too little memory: ")
    assert found.reason.endswith(f"; end other programs or use fewer --jobs; {AGAIN}")


def test_a_clip_is_blamed_for_what_it_holds_and_for_its_file() -> None:
    assert blame(MediaError("is empty"), CLIP, "cpu") == Blame("is empty")
    assert blame(MisfitError("no such track"), CLIP, "cpu") == Blame("no such track")
    assert blame(UnreadableError("is gone"), CLIP, "cpu") == Blame("is gone", unreadable=True)
    own = OSError(errno.EIO, "Input/output error", str(CLIP))
    assert blame(own, CLIP, "cpu") == Blame(
        f"{CLIP} can't be read: Input/output error", unreadable=True
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files", str(CLIP)),
        OSError(errno.ENOSPC, "No space left on device", "/tmp/x"),  # noqa: S108 - opens nothing
        FileNotFoundError(errno.ENOENT, "No such file", "/lib/shape_predictor.dat"),
        TypeError("open() got an unexpected keyword argument 'metadata_errors'"),
        AttributeError("module 'av' has no attribute 'error'"),
        ValueError("operands could not be broadcast together"),
    ],
)
def test_a_clip_is_not_blamed_for_anything_else(error: Exception) -> None:
    found = blame(error, CLIP, "cpu")
    assert found.fault == f"{type(error).__name__} in nowhere"
    assert found.reason.endswith(AGAIN)
    assert str(error) in found.reason


def test_an_error_of_the_shared_network_keeps_its_kind_and_says_its_place() -> None:
    error = RemoteNetworkError("KeyError: 'x'", "KeyError in begun.py:7")
    assert blame(error, CLIP, None) == Blame(
        f"KeyError: 'x' (KeyError in begun.py:7); {AGAIN}", "KeyError in begun.py:7"
    )


def test_a_library_that_cannot_be_loaded_ends_the_run() -> None:
    with pytest.raises(MachineError, match="a library can't be loaded: No module named 'no_such"):
        blame(raised(lambda: __import__("no_such_library")), CLIP, "cpu")


def test_a_library_that_finds_no_memory_is_not_told_to_be_missing() -> None:
    text = "libtorch.so: failed to map segment from shared object"  # what glibc's loader says
    told = versions.explain_import(ImportError(text))
    assert told.endswith("has too little memory for it.")


# What an old library would say is said in its place, and its version is what the look-up says. With
# PyAV 15 and 16 installed a run ends like this, seen by hand; 17 passes.
def install(monkeypatch: pytest.MonkeyPatch, library: str, number: str) -> None:
    """Let a library be installed in another version, by what the look-up says."""
    real = vars(versions)["version"]
    monkeypatch.setattr(
        "pipeline.extract.versions.version", lambda one: number if one == library else real(one)
    )


def test_a_library_that_is_too_old_is_named_with_what_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert versions.find_outdated() == ""
    install(monkeypatch, "av", "12.3.0")
    with pytest.raises(MachineError) as caught:
        blame(TypeError("unexpected keyword argument"), CLIP, "cpu")
    assert "TypeError: unexpected keyword argument" in str(caught.value)
    assert "av is 12.3.0, and avfuse needs 18.0 or newer. Install what" in str(caught.value)


def test_a_library_that_lacks_a_name_is_told_of_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lack(*_: object, **__: object) -> None:
        raise ImportError("cannot import name 'ColorTrc' from 'av.video.reformatter'")

    monkeypatch.setattr("pipeline.extract.plan.plan_sets", lack)
    install(monkeypatch, "av", "15.0.0")
    result = extract(tones(tmp_path, 1), tmp_path / "cache", *SOUND)
    assert result.exit_code == 1
    assert "Error: a library can't be loaded: cannot import name 'ColorTrc'" in result.stderr
    assert "av is 15.0.0, and avfuse needs 18.0 or newer" in result.stderr


def tones(folder: Path, count: int) -> Path:
    """Write the manifest of so many sounds."""
    clips = []
    for number in range(count):
        path = folder / f"{number}.wav"
        write_tone(path, 0.1)
        clips.append(Clip(f"c{number}", path))
    write_manifest(folder / "m.csv", clips)
    return folder / "m.csv"


def failing(error: Exception, *, times: int = 1 << 30) -> Callable[..., Any]:
    """A stage that raises an error so many times, and then works."""
    from pipeline.extract.sound import AudioSteps

    real, left = AudioSteps.__iter__, [times]

    def steps(self: AudioSteps) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return real(self)

    return steps


@pytest.mark.parametrize("error", [MemoryError(), TypeError("no such argument"), OSError("odd")])
def test_a_fault_of_the_machine_is_reported_and_not_recorded(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = tones(tmp_path, 3), tmp_path / "cache"
    with monkeypatch.context() as broken:
        broken.setattr(STEPS, failing(error, times=1))
        result = extract(manifest, cache, *SOUND)
    assert result.exit_code == 1
    assert [clip["state"] for clip in report(cache).values()] == ["failed", "ok", "ok"]
    fault = report(cache)["c0"]["sets"]["spectrogram"]["fault"]
    assert fault == MEMORY or fault.startswith(f"{type(error).__name__} in test_blame.py:")
    whole = json.loads((cache / "extract-report.json").read_text())
    assert whole["faults"] == {fault: 1}
    said = (
        f"1 of the failed clips failed by no fault of their own: {fault} (1). Nothing is recorded"
    )
    assert said in result.stdout
    assert not list(cache.rglob("failures/*"))
    clips = {clip.id: clip for clip in read_manifest(manifest).clips}
    (status,) = read_status(cache, clips).sets
    assert status.manifest is not None
    assert (status.manifest["failed"], status.manifest["missing"]) == (0, 1)
    again = extract(manifest, cache, *SOUND)
    assert again.exit_code == 0
    assert "1 computed now, 2 unchanged" in again.output


def test_what_is_made_from_a_set_that_a_fault_kept_away_is_not_recorded_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.extract.picture.track_faces", lambda *_, **__: 1 // 0)
    words = ("--sets", "resnet18", "--weights", "resnet18=random", "--views", "basic")
    extract(tones(tmp_path, 1), tmp_path / "cache", *words)
    sets = report(tmp_path / "cache")["c0"]["sets"]
    assert sets["faces"]["fault"] == sets["resnet18"]["fault"] != ""
    assert not list((tmp_path / "cache").rglob("failures/*"))


def test_the_same_fault_clip_after_clip_ends_the_run_and_names_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = tones(tmp_path, MAX_FAULTS + 3), tmp_path / "cache"
    with monkeypatch.context() as broken:
        error = TypeError("no such argument")
        broken.setattr(STEPS, failing(error))
        result = extract(manifest, cache, *SOUND)
    assert result.exit_code == 1
    assert "Error: 10 clips in a row failed by the same fault, which lies in this" in result.stderr
    assert "TypeError: no such argument (test_blame.py:" in result.stderr
    assert "Installed are avfuse " in result.stderr
    assert f"0 of {MAX_FAULTS + 3} clips are done and stay." in result.stderr
    assert not list(cache.rglob("failures/*"))
    assert extract(manifest, cache, *SOUND).exit_code == 0


def result_of(fault: str, *, fresh: bool = True) -> ClipResult:
    state = "failed" if fault else "ok"
    return ClipResult("c", {"faces": SetResult(state, (fault,), fresh=fresh, fault=fault)})


def test_only_the_same_fault_in_clips_that_were_tried_counts() -> None:
    row = FaultsInARow()
    for fault in ["a"] * 9 + [""] + ["a"] * 9 + ["b"] * 9 + ["a"] * 9:
        row.add(result_of(fault))
    for _ in range(30):
        row.add(result_of("", fresh=False))
    with pytest.raises(MachineError, match="10 clips in a row"):
        row.add(result_of("a"))


def test_a_worker_that_a_clip_ended_is_recorded_and_one_that_the_machine_ended_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = read_manifest(tones(tmp_path, 1)).clips[0]
    plan = plan_sets(["spectrogram"], StageOneSettings(), {}, cache=tmp_path / "cache")
    plan.feature_sets["spectrogram"].create({})
    killed = _died(clip, WorkerDied("it was killed", of_clip=False), plan=plan)
    assert (killed.fault, killed.reason) == ("worker", f"it was killed; {AGAIN}")
    assert plan.feature_sets["spectrogram"].failure(clip.id) is None
    crashed = WorkerDied("it crashed", of_clip=True)
    with monkeypatch.context() as short:  # a library in C that gets no memory crashes
        short.setattr("pipeline.extract.run.has_memory", lambda: False)
        assert _died(clip, crashed, plan=plan).fault == "worker"
    assert _died(clip, crashed, plan=plan).fault == ""
    recorded = plan.feature_sets["spectrogram"].failure(clip.id)
    assert recorded is not None
    assert (recorded.stage, recorded.reason) == ("worker", "it crashed")
    assert "torch" in recorded.versions


def test_a_failure_is_tried_again_when_a_version_that_matters_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the look-up of versions says, as no real upgrade can be done here."""
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    write_manifest(tmp_path / "m.csv", [Clip("bad", tmp_path / "bad.mp4")])
    cache, manifest = tmp_path / "cache", tmp_path / "m.csv"
    assert "1 computed now" in extract(manifest, cache, *SOUND).output
    recorded = find_set(cache, "spectrogram").failure("bad")
    assert recorded is not None
    assert set(recorded.versions) == {"avfuse", "av", "libavcodec"}
    assert "0 computed now, 1 unchanged" in extract(manifest, cache, *SOUND).output
    for library, tried in (("torch", 0), ("av", 1), ("dlib-bin", 0)):
        install(monkeypatch, library, "99.1")
        assert f"{tried} computed now" in extract(manifest, cache, *SOUND).output
        assert "0 computed now" in extract(manifest, cache, *SOUND).output


def test_a_record_without_versions_is_tried_again_once(tmp_path: Path) -> None:
    """As every version before this one wrote them, of faults of the machine too."""
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    write_manifest(tmp_path / "m.csv", [Clip("bad", tmp_path / "bad.mp4")])
    cache, manifest = tmp_path / "cache", tmp_path / "m.csv"
    extract(manifest, cache, *SOUND)
    path = find_set(cache, "spectrogram").failure_path("bad")
    values = json.loads(path.read_text())
    del values["checksum"], values["versions"]
    values["reason"] = "MemoryError: (frames.py:143)"
    path.write_text(json.dumps({**values, "checksum": digest_json(values)}))
    assert find_set(cache, "spectrogram").failure("bad") is not None
    assert "1 computed now" in extract(manifest, cache, *SOUND).output
    assert "0 computed now" in extract(manifest, cache, *SOUND).output


def test_a_file_that_ffmpeg_cannot_read_is_read_to_see_whose_fault_it_is(tmp_path: Path) -> None:
    path, error = tmp_path / "a.mp4", av.error.OSError(errno.EIO, "Input/output error")
    with pytest.raises(UnreadableError, match=r"a\.mp4 does not exist"):
        Faults("picture", path).add(0.5, error)
    path.write_bytes(b"all there")
    faults = Faults("picture", path)
    with pytest.raises(ReadAgainError, match="couldn't read it for a moment"):
        faults.add(0.5, error)
    faults.add(0.5, error)  # again: it is the file that ends early
    assert faults.problems() == ["picture decoding error at 0.50 s: Input/output error"]


def test_a_file_that_ends_within_its_header_is_recorded_and_not_tried_night_after_night(
    tmp_path: Path,
) -> None:
    """FFmpeg says EIO of it, as of a disk that fails."""
    path, cache = tmp_path / "cut.mkv", tmp_path / "cache"
    with av.open(str(path), "w") as file:
        file.add_stream("mpeg4", rate=25, width=64, height=64)
        file.start_encoding()
    path.write_bytes(path.read_bytes()[:100])
    write_manifest(tmp_path / "m.csv", [Clip("cut", path)])
    assert "1 computed now" in extract(tmp_path / "m.csv", cache, *SOUND).output
    failure = find_set(cache, "spectrogram").failure("cut")
    assert failure is not None
    assert failure.source == read_source(path)
    assert "1 unchanged" in extract(tmp_path / "m.csv", cache, *SOUND).output


def test_a_disk_that_fails_for_a_moment_leaves_no_mark_in_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ReadAgainError(errno.EIO, "for a moment")
    monkeypatch.setattr(STEPS, failing(error, times=1))
    assert extract(tones(tmp_path, 1), tmp_path / "cache", *SOUND).exit_code == 0
    assert report(tmp_path / "cache")["c0"]["state"] == "ok"


def test_a_failure_is_of_the_machine_while_there_is_no_memory_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults("picture", tmp_path)
    faults.add(0.5, av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"))
    assert faults.count == 1  # a size that FFmpeg refuses, where memory is at hand
    monkeypatch.setattr("pipeline.media.machine.has_memory", lambda _: False)
    with pytest.raises(MemoryError, match=r"FFmpeg says: .*Invalid data"):
        faults.add(0.5, av.error.InvalidDataError(1094995529, "Invalid data"))
