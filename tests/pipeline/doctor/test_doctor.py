"""The doctor on a corpus with one defect of each kind, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from pipeline.cli import main
from pipeline.doctor.checks import find_far
from pipeline.doctor.doctor import diagnose
from pipeline.doctor.examine import Examination, examine_clip
from pipeline.doctor.settings import DoctorSettings
from pipeline.workers.pool import WorkerDied, WorkersFailedError
from tests.pipeline.videos import grey_frame, write_video, write_wav

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 7\n"


def tone(hertz: float, seconds: float = 0.4) -> np.ndarray:
    time = np.arange(int(16_000 * seconds)) / 16_000
    return 0.3 * np.sin(2 * np.pi * hertz * time, dtype=np.float32)[None]


def doctor(manifest: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    command = ["doctor", str(manifest), "--json", *arguments]
    if "--jobs" not in arguments:
        command += ["--jobs", "0"]
    result = CliRunner().invoke(main, command)
    return result.exit_code, json.loads(result.stdout)


def found(report: dict[str, Any]) -> dict[str, set[str]]:
    """Kind and severity to the clips concerned."""
    result: dict[str, set[str]] = {}
    for finding in report["findings"]:
        key = f"{finding['severity']}: {finding['kind']}"
        result.setdefault(key, set()).update(finding["clips"])
    return result


def whole(number: int, **fields: Any) -> Examination:
    """A clip without a flaw, unlike every other."""
    values: dict[str, Any] = {
        "sha256": f"{number:064x}",
        "duration_seconds": 2.0 + number / 100,
        "frame_rate": 25.0,
        "frame_size": (62, 94),
        "sample_rate": 16_000,
        "sound": "present",
        "sound_sha256": f"{number + 1000:064x}",
        "sampled_frames": 3,
        "frames_with_face": 3,
    }
    return Examination(f"c{number}", **{**values, **fields})


def compare(clips: list[Clip], examined: list[Examination]) -> dict[str, set[str]]:
    by_id = {one.clip: one for one in examined}
    return found(diagnose(clips, by_id).to_json())


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of which every clip but one has something."""
    folder = tmp_path_factory.mktemp("ill")
    images = [grey_frame(number) for number in range(12)]
    good = write_video(folder / "good.mp4", images, codec="mpeg4", sound=tone(300))
    write_video(folder / "mute.mp4", images[1:], codec="mpeg4")
    write_video(folder / "silent.mp4", images[2:], codec="mpeg4", sound=0 * tone(300))
    write_wav(folder / "sound.wav", tone(500), 16_000)
    shutil.copy(good, folder / "copy.mp4")
    (folder / "empty.mp4").touch()
    (folder / "pointer.mp4").write_bytes(LFS)
    (folder / "cut.mp4").write_bytes(good.read_bytes()[:900])
    names = ("good", "mute", "silent", "copy", "empty", "pointer", "cut", "missing")
    clips = [
        Clip(name, folder / f"{name}.mp4", label="sad", split="train", speaker=f"s{number}")
        for number, name in enumerate(names)
    ]
    clips[3] = Clip("copy", folder / "copy.mp4", label="sad", split="test", speaker="s0")
    clips.append(Clip("sound", folder / "sound.wav", label="sad", split="train", speaker="s9"))
    return write_manifest(folder / "m.csv", clips)


@pytest.mark.slow
def test_every_illness_of_a_corpus_is_named_with_its_clips(ill: Path) -> None:
    code, report = doctor(ill, "--jobs", "1")
    assert code == 1
    assert found(report) == {
        "spoils: unreadable": {"empty", "pointer", "cut", "missing"},
        "spoils: same file": {"good", "copy"},
        "spoils: shared speaker": {"good", "copy"},
        "look: no face": {"good", "mute", "silent", "copy"},
        "look: no picture": {"sound"},
        "look: no sound": {"mute"},
        "look: silent": {"silent"},
    }
    reasons = {f["clips"][0]: f["text"] for f in report["findings"] if f["kind"] == "unreadable"}
    assert "is empty (0 bytes)" in reasons["empty"]
    assert "Git LFS pointer" in reasons["pointer"]
    assert "does not exist" in reasons["missing"]
    assert report["counts"]["split"] == {"test": 1, "train": 8}
    assert report["counts"]["label in train"] == {"sad": 8}
    assert len(report["clips"]) == 9


def test_the_table_says_the_same_and_ends_with_the_verdict(ill: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", str(ill), "--jobs", "0", "--sample", "0"])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("spoils  unreadable")
    assert "good, copy have the same content, across the splits test, train: leak" in result.stdout
    assert "speakers in several splits: s0 in test, train" in result.stdout
    assert "clips by label in train: sad 8" in lines
    assert lines[-1] == "9 clips; 6 findings would spoil a run, 3 more worth a look"
    assert "no face" not in result.stdout  # no frame was sampled


@pytest.mark.slow
def test_a_sound_corpus_with_faces_is_healthy(corpus: Path) -> None:
    code, report = doctor(corpus, "--sample", "1")
    assert (code, report["findings"]) == (0, [])
    assert {clip["frames_with_face"] for clip in report["clips"]} == {1}
    assert report["counts"]["speaker"] == {"s1": 3, "s2": 3, "s3": 3}


def test_a_manifest_that_cannot_be_used_is_a_finding_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("clip,path,label\na,a.mp4,sad\nb,../b.mp4,Sad\n")
    code, report = doctor(tmp_path / "m.csv")
    assert code == 1
    texts = [finding["text"] for finding in report["findings"]]
    assert any("label 'Sad' differs only in case from 'sad'" in text for text in texts)
    assert any("leaves the manifest's folder" in text for text in texts)
    plain = CliRunner().invoke(main, ["doctor", str(tmp_path / "m.csv")])
    assert plain.exit_code == 1
    assert plain.stdout.startswith("spoils  manifest  line 3: ")


def test_no_manifest_is_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", str(tmp_path / "none.csv")])
    assert result.exit_code == 2
    assert "none.csv is not a file; expected a manifest" in result.output


def test_a_link_out_of_the_corpus_is_found(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    write_wav(tmp_path / "a.wav", tone(200), 16_000)
    (tmp_path / "corpus" / "a.wav").symlink_to(tmp_path / "a.wav")
    (tmp_path / "corpus" / "m.csv").write_text("clip,path\na,a.wav\n")
    code, report = doctor(tmp_path / "corpus" / "m.csv")
    assert code == 1
    assert found(report).keys() == {"spoils: manifest", "look: no picture"}
    assert doctor(tmp_path / "corpus" / "m.csv", "--follow-links")[0] == 0


def test_a_hanging_or_crashing_file_is_a_finding_and_the_others_are_examined(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map_clips(work: Any, clips: list[Clip], *, jobs: int, failed: Callable[..., Any]) -> Any:
        yield failed(clips[0], WorkerDied("decoding hung", of_clip=True))
        yield from map(work, clips[1:])

    monkeypatch.setattr("pipeline.doctor.doctor.map_clips", map_clips)
    code, report = doctor(corpus, "--sample", "0")
    (finding,) = report["findings"]
    assert code == 1
    assert finding["clips"] == [read_manifest(corpus).clips[0].id]
    assert finding["text"].endswith("decoding hung")
    assert len(report["clips"]) == 9


def test_the_same_sound_in_two_files_is_a_leak_across_splits_or_labels() -> None:
    clips = [Clip(f"c{n}", Path(f"/{n}.mp4"), split="train") for n in range(3)]
    examined = [whole(0), whole(1), whole(2, sound_sha256=whole(0).sound_sha256)]
    assert compare(clips, examined) == {"look: same sound": {"c0", "c2"}}
    clips[2] = Clip("c2", Path("/2.mp4"), split="test")
    assert compare(clips, examined) == {"spoils: same sound": {"c0", "c2"}}
    clips[0] = Clip("c0", Path("/0.mp4"), label="sad")
    clips[2] = Clip("c2", Path("/2.mp4"), label="happy")
    assert "spoils: same sound" in compare(clips, examined)
    silent = [whole(n, sound="silent", sound_sha256="0" * 64) for n in range(3)]
    assert "spoils: same sound" not in compare(clips, silent)


def test_sound_and_video_of_one_ravdess_take_are_a_leak_across_splits() -> None:
    paths = ("01-01-03-01-02-02-07.mp4", "03-01-03-01-02-02-07.wav", "01-01-03-01-02-02-08.mp4")
    splits = ("train", "val", "val")
    clips = [Clip(f"c{n}", Path(f"/{paths[n]}"), split=splits[n]) for n in range(3)]
    assert compare(clips, [whole(n) for n in range(3)]) == {"spoils: same take": {"c0", "c1"}}


def test_parts_of_one_file_are_duplicates_only_where_they_overlap() -> None:
    parts = [(0.0, 5.0), (1.0, 2.0), (3.0, 4.0), (5.0, None)]
    clips = [
        Clip(f"c{n}", Path("/a.mp4"), split="val", start_seconds=start, end_seconds=end)
        for n, (start, end) in enumerate(parts)
    ]
    examined = [whole(n, sha256="f" * 64) for n in range(4)]
    assert compare(clips, examined) == {"look: same file": {"c0", "c1", "c2"}}
    clips[3] = Clip("c3", Path("/a.mp4"), split="test", start_seconds=5.0)
    result = diagnose(clips, {one.clip: one for one in examined}).to_json()
    assert "are parts of one file, in several splits" in result["findings"][1]["text"]


def test_labels_and_speakers_that_spoil_an_evaluation_are_found() -> None:
    rows = [("happy", "train"), ("sad", "train"), ("happy", "test"), ("fear", "test"), (None, None)]
    clips = [Clip(f"c{n}", Path(f"/{n}"), label=r[0], split=r[1]) for n, r in enumerate(rows)]
    assert compare(clips, [whole(n) for n in range(5)]) == {
        "spoils: label": {"c3"},  # no training clip
        "look: label": {"c1"},  # no test clip
        "look: no label": {"c4"},
        "look: no split": {"c4"},
    }


def test_known_defects_are_found_by_name_in_either_layout() -> None:
    paths = (
        "/meld/train_splits/dia125_utt3.mp4",
        "/meld/dev_splits_complete/dia125_utt3.mp4",
        "/crema/1076_MTI_SAD_XX.flv",
        "/crema/1064_IEO_DIS_MD.flv",
    )
    clips = [Clip(f"c{n}", Path(path)) for n, path in enumerate(paths)]
    assert compare(clips, [whole(n) for n in range(4)]) == {
        "look: known defect": {"c0", "c2", "c3"}
    }


def test_durations_and_rates_far_from_the_rest_are_found_and_a_wide_spread_is_not() -> None:
    clips = [Clip(f"c{n}", Path(f"/{n}")) for n in range(11)]
    examined = [whole(n) for n in range(11)]
    examined[3] = whole(3, duration_seconds=300.0)
    examined[5] = whole(5, frame_rate=5.0)
    assert compare(clips, examined) == {"look: duration": {"c3"}, "look: frame rate": {"c5"}}
    wide = [whole(n, duration_seconds=1.5**n) for n in range(11)]
    assert compare(clips, wide) == {}


def test_far_is_a_factor_of_two_and_five_robust_deviations() -> None:
    alike = dict.fromkeys("abcdef", 10.0)
    assert find_far({**alike, "g": 19.9, "h": 5.1})[1] == []
    assert find_far({**alike, "g": 20.1, "h": 4.9}) == (pytest.approx(10.0), ["g", "h"])
    # The median distance to the median, in logarithms, is log(1.25): far is a factor of 5.23.
    spread = {"a": 8.0, "b": 8.0, "c": 10.0, "d": 12.5, "e": 12.5}
    assert find_far({**spread, "f": 10.0, "g": 52.0})[1] == []
    assert find_far({**spread, "f": 10.0, "g": 53.0})[1] == ["g"]
    assert find_far({}) == (0.0, [])


def test_a_clip_cut_out_of_a_file_is_examined_in_its_own_part(tmp_path: Path) -> None:
    images = [grey_frame(number) for number in range(20)]
    sound = np.concatenate([tone(300, 0.4), 0 * tone(300, 0.4)], axis=1)
    path = write_video(tmp_path / "a.mkv", images, codec="mpeg4", sound=sound)
    first = examine_clip(Clip("a", path, end_seconds=0.4), DoctorSettings(2))
    second = examine_clip(Clip("b", path, start_seconds=0.44), DoctorSettings(2))
    assert (first.sound, second.sound) == ("present", "silent")
    assert first.duration_seconds == pytest.approx(0.4)
    assert second.duration_seconds == pytest.approx(0.36, abs=0.02)
    assert first.sampled_frames == second.sampled_frames == 2
    assert first.sha256 == second.sha256
    beyond = examine_clip(Clip("c", path, start_seconds=9.0), DoctorSettings(2))
    assert "no frame could be decoded" in beyond.problem


@pytest.mark.slow
def test_the_real_clips_of_people_show_faces(data: Path) -> None:
    clips = read_manifest(data / "clips" / "labelled.csv").clips[:5]
    examined = [examine_clip(clip, DoctorSettings(2)) for clip in clips]
    assert [one.problem for one in examined] == [""] * 5
    assert {one.sound for one in examined} == {"present"}
    assert sum(one.frames_with_face > 0 for one in examined) >= 3


def test_workers_that_cannot_start_are_told_and_nothing_is_called_healthy(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map_clips(*_: object, **__: object) -> Iterator[Examination]:
        yield from ()
        raise WorkersFailedError("the worker processes end before they take a clip")

    monkeypatch.setattr("pipeline.doctor.doctor.map_clips", map_clips)
    result = CliRunner().invoke(main, ["doctor", str(corpus)])
    assert result.exit_code == 1
    assert "the worker processes end before they take a clip" in result.stderr
    assert result.stdout == ""


def test_a_cut_off_file_is_found_where_a_clip_reaches_its_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (62, 94, 3), np.uint8) for _ in range(50)]
    sound = rng.uniform(-0.5, 0.5, (2, 32_000)).astype(np.float32)
    path = write_video(tmp_path / "a.mkv", images, sound=sound)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    early = examine_clip(Clip("a", path, start_seconds=0.2, end_seconds=0.6), DoctorSettings(0))
    late = examine_clip(Clip("b", path, start_seconds=0.6, end_seconds=1.6), DoctorSettings(0))
    assert early.cut_off == ()
    assert [one.split(" ends at ")[0] for one in late.cut_off] == ["the picture", "the sound"]
    assert not set(late.cut_off) & set(late.damage)
    clips = [Clip(one.clip, path) for one in (early, late)]
    findings = diagnose(clips, {"a": early, "b": late}).findings
    assert [f.clips for f in findings if f.kind == "cut off"] == [("b",)]
