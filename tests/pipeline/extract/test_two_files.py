"""Two files under one clip id, at once or one after the other, never meet in one entry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.entries.entry import Entry
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import find_set
from cache.upkeep.verify import verify_cache
from pipeline.extract import clip as clip_module
from pipeline.extract import picture, sound
from pipeline.extract.clip import extract_clip
from pipeline.extract.job import ClipResult
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.weights import WeightsChoice
from pipeline.media.frames import Frames
from tests.pipeline.watched_corpus import settings_with

pytestmark = [pytest.mark.usefixtures("networks_built_once"), pytest.mark.slow]


@pytest.fixture
def files(corpus: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two clips of equally many frames with a face at other places."""
    first, *_, last = (clip.path for clip in read_manifest(corpus).clips)
    one, two = tmp_path / "one.mp4", tmp_path / "two.mp4"
    shutil.copy(first, one)
    shutil.copy(last, two)
    return one, two


def plan(cache: Path, *names: str, **options: Any) -> Plan:
    choices = {"resnet18": WeightsChoice()} if "resnet18" in names else {}
    return plan_sets(names, settings_with({}), choices, cache=cache, device="cpu", **options)


def extract(path: Path, cache: Path, *names: str) -> ClipResult:
    """Extract a file as clip a."""
    made = plan(cache, *names)
    for planned in made.sets:
        made.feature_sets[planned.name].create({})
    return extract_clip(Clip("a", path), made)


def undisturbed(path: Path, folder: Path, *names: str) -> Callable[[str], Entry]:
    """Entries of a file that nobody disturbed, by set."""
    cache = folder / f"undisturbed-{path.stem}"
    extract(path, cache, *names)
    return lambda name: find_set(cache, name).read("a")


def at_once(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    disturb: Callable[[], object],
    times: int = 1,
) -> None:
    """Disturb once, or so many times, where a module next calls a function."""
    real, left = getattr(module, name), times

    def disturbed(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        monkeypatch.setattr(module, name, real)
        disturb()
        left -= 1
        if left:
            monkeypatch.setattr(module, name, disturbed)
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, disturbed)


def assert_equal(one: Entry, two: Entry) -> None:
    assert one.checksums == two.checksums
    assert one.source.same_content(two.source)
    assert one.attributes == two.attributes


@pytest.mark.parametrize("place", ["before its faces are read", "after"])
def test_a_network_is_never_made_from_the_faces_of_another_file(
    place: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was, was called ok ever after, and no check found it: it differed by a quarter."""
    one, two = files
    cache = tmp_path / "cache"
    expected = undisturbed(one, tmp_path, "faces", "resnet18")
    other = undisturbed(two, tmp_path, "faces", "resnet18")
    assert np.array_equal(expected("faces")["times"], other("faces")["times"])
    extract(one, cache, "faces")
    module, name = (clip_module, "probe") if place.startswith("before") else (picture, "crop_faces")
    at_once(monkeypatch, module, name, lambda: extract(two, cache, "faces"))
    result = extract(one, cache, "faces", "resnet18")
    assert {one_set.state for one_set in result.sets.values()} <= {"ok", "partial"}
    assert_equal(find_set(cache, "resnet18").read("a"), expected("resnet18"))
    superseded = verify_cache(cache).superseded
    assert len(superseded) == (0 if place.startswith("before") else 1)
    again = extract(one, cache, "faces", "resnet18")
    # Faces of the same bytes leave the network that was made from them trusted.
    assert {name for name, found in again.sets.items() if found.fresh} == (
        set() if place.startswith("before") else {"faces", "identity"}
    )
    assert verify_cache(cache).superseded == {}
    extract(two, cache, "faces", "resnet18")
    for name in ("faces", "resnet18"):
        assert_equal(find_set(cache, name).read("a"), other(name))


def test_faces_that_come_out_otherwise_have_their_networks_made_again(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    one, _ = files
    cache = tmp_path / "cache"
    extract(one, cache, "faces", "resnet18")
    faces = find_set(cache, "faces")
    entry = faces.read("a")
    with faces.writer("a", source=entry.source, provenance={}) as writer:  # by other libraries
        writer.append(**{**entry.arrays, "tracks/box": entry["tracks/box"] + 1})
        writer.finish(missing=entry.missing, attributes=entry.attributes)
    identity = find_set(cache, "identity")
    known, upstream = identity.read("a"), {"faces": faces.read("a").identity}
    with identity.writer("a", source=known.source, provenance={}, upstream=upstream) as writer:
        writer.append(**known.arrays)
        writer.finish(missing=known.missing, attributes=known.attributes)
    result = extract(one, cache, "faces", "resnet18")
    assert {name for name, found in result.sets.items() if found.fresh} == {"resnet18"}
    faces.entry_path("a").unlink()
    result = extract(one, cache, "faces", "resnet18")
    fresh = {name for name, found in result.sets.items() if found.fresh}
    assert fresh == {"faces", "identity", "resnet18"}


@pytest.mark.parametrize("change", [lambda times: times + 0.01, lambda times: times[:-1], None])
def test_faces_of_other_frames_than_the_clip_decodes_to_are_found_anew(
    change: Callable[[np.ndarray], np.ndarray] | None, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """As after an upgrade of FFmpeg: it was recorded as the clip's failure, and stayed."""
    one, _ = files
    cache = tmp_path / "cache"
    expected = undisturbed(one, tmp_path, "faces", "resnet18")
    extract(one, cache, "faces")
    faces = find_set(cache, "faces")
    entry = faces.read("a")
    arrays = dict(entry.arrays)
    if change is None:  # one frame more than there is
        per_frame = {name for name in arrays if len(arrays[name]) == len(arrays["times"])}
        arrays |= {name: np.concatenate([arrays[name], arrays[name][-1:]]) for name in per_frame}
        arrays["times"][-1] += 0.04
    else:
        times = change(arrays["times"])
        per_frame = {name for name in arrays if len(arrays[name]) == len(arrays["times"])}
        arrays |= {name: arrays[name][: len(times)] for name in per_frame} | {"times": times}
    with faces.writer("a", source=entry.source, provenance={}) as writer:
        writer.append(**arrays)
        writer.finish(missing=entry.missing, attributes=entry.attributes)
    result = extract(one, cache, "faces", "resnet18")
    fresh = {name for name, found in result.sets.items() if found.fresh}
    assert fresh == {"faces", "identity", "resnet18"}
    for name in ("faces", "resnet18"):
        assert_equal(find_set(cache, name).read("a"), expected(name))


def test_a_clip_that_decodes_otherwise_each_time_is_failed_and_recorded(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = files
    real, begun = picture.guarded, [0]

    def drifting(chunks: Iterable[Frames], limit: float) -> Iterator[Frames]:
        begun[0] += 1
        for frames in real(chunks, limit):
            yield Frames(frames.images, frames.times + begun[0] / 100)

    monkeypatch.setattr(picture, "guarded", drifting)
    result = extract(one, tmp_path / "cache", "faces", "resnet18")
    assert result.sets["resnet18"].why == (
        f"{one} decodes to other frames than just now, near frame 0",
    )
    assert find_set(tmp_path / "cache", "resnet18").failure("a") is not None


def replace(path: Path, by: Path) -> None:
    """Put a file of the same size and time in a file's place."""
    times = path.stat().st_mtime_ns
    shutil.copy(by, path.with_name("aside"))
    size = max(path.stat().st_size, by.stat().st_size)
    os.truncate(path.with_name("aside"), size)
    os.utime(path.with_name("aside"), ns=(times, times))
    path.with_name("aside").replace(path)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("module", "name"),
    [(clip_module, "probe"), (picture, "track_faces"), (picture, "crop_faces"), (sound, "guarded")],
)
def test_a_file_that_is_replaced_while_it_is_worked_on_is_made_anew_unless_it_changes_again(
    module: Any,
    name: str,
    times: int,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = files
    sets = ("faces", "resnet18", "logmel")
    old, new = one.with_name("old.mp4"), one.with_name("new.mp4")
    shutil.copy(one, old)
    shutil.copy(two, new)
    size = max(one.stat().st_size, two.stat().st_size)
    for path in (one, old, new):
        os.truncate(path, size)
    expected, before = undisturbed(new, tmp_path, *sets), undisturbed(old, tmp_path, *sets)
    cache = tmp_path / "cache"
    at_once(monkeypatch, module, name, lambda: replace(one, new), times)
    result = extract(one, cache, *sets)
    for each in sets:
        feature_set = find_set(cache, each)
        assert feature_set.failures() == []
        for clip in feature_set.clip_ids():  # what was committed is of one of the files alone
            entry = feature_set.read(clip, verify=True)
            one_of = before if entry.source.same_content(before(each).source) else expected
            assert_equal(entry, one_of(each))
    if times == 2:
        assert {found.state for found in result.sets.values()} == {"failed"}
        assert result.reason == (
            f"{one} changed while it was read; wait until it is complete, then run the same "
            "command again"
        )
        result = extract(one, cache, *sets)
    assert {found.state for found in result.sets.values()} <= {"ok", "partial"}
    for each in sets:
        assert_equal(find_set(cache, each).read("a"), expected(each))
    assert find_set(cache, "faces").read("a").source.same_content(read_source(one))


def test_a_file_whose_rights_change_while_it_is_worked_on_costs_no_entry(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = files
    at_once(monkeypatch, sound, "guarded", lambda: one.chmod(0o640))
    result = extract(one, tmp_path / "cache", "faces", "logmel")
    assert {name: found.state for name, found in result.sets.items()}["logmel"] == "ok"
    assert result.fault == ""
