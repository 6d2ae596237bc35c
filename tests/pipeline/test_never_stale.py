"""Exactly what depends on a change is computed again: every setting, one at a time, and the rest.

The settings are enumerated, not listed: a new one is tested by existing. One that these tests can't
change by themselves, or whose table they don't know, fails them until it is added here.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import pipeline.sets
from cache.clip import Clip
from cache.feature_set import find_set
from cache.settings import SettingsError, merge, settings_from
from pipeline.results import ClipResult
from pipeline.run import run_extract
from pipeline.sets import Plan, WeightsChoice, plan_sets
from pipeline.settings import StageOneSettings
from tests.pipeline.videos import grey_frame, write_video

SETS = ("faces", "resnet18", "spectrogram", "logmel")
ALL = frozenset(SETS)
# Which sets each table of settings can change; what is in none can change no number.
DEPENDENTS: dict[str, frozenset[str]] = {
    "faces": frozenset({"faces", "resnet18"}),
    "faces.policy": frozenset({"resnet18"}),  # the choice is made when crops are
    "crops": frozenset({"resnet18"}),
    # Only weights that state their framing change; see tests/pipeline/test_default_network.py.
    "crops.framing": frozenset(),
    "network": frozenset({"resnet18"}),
    "spectrogram": frozenset({"spectrogram"}),
    "logmel": frozenset({"logmel"}),
    "decode": frozenset(),
    "hang_seconds": frozenset(),
}
# A second detector needs its model.
TESTED_ELSEWHERE = {"faces.second": "tests/pipeline/test_second.py"}
# Another value, where adding a little or taking the next choice gives none that is valid.
OTHER: dict[str, Any] = {
    "network.layer": "pooled",
    "network.colour": "grey",
    "network.views.rotations": [0.0, 3.0],
    "network.views.scales": [1.0, 1.1],
    "network.views.centre": [0.5, 0.25],
    "logmel.preemphasis": 0.5,
}
BASE: dict[str, Any] = {
    "network": {"image_size": 32, "views": {"rotations": [0.0], "scales": [1.0], "flip": False}},
}


def leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, annotation and value of every setting."""
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hints[field.name], value


def settings_with(values: dict[str, Any]) -> StageOneSettings:
    return settings_from(StageOneSettings, merge(BASE, values))


NAMES = [name for name, _, _ in leaves(settings_with({})) if name not in TESTED_ELSEWHERE]


def changed(name: str) -> StageOneSettings:
    """The settings with another valid value of one of them."""
    hint, value = next((h, v) for n, h, v in leaves(settings_with({})) if n == name)
    if name in OTHER:
        candidates = [OTHER[name]]
    elif typing.get_origin(hint) is Literal:
        candidates = [choice for choice in typing.get_args(hint) if choice != value]
    elif isinstance(value, bool):
        candidates = [not value]
    elif isinstance(value, int):
        candidates = [value + 1, value - 1]
    elif isinstance(value, float):
        candidates = [value * 1.25, value * 0.8, value + 0.25]
    else:
        candidates = []
    for candidate in candidates:
        values: Any = candidate
        for part in reversed(name.split(".")):
            values = {part: values}
        try:
            settings = settings_with(values)
        except SettingsError:
            continue
        if settings != settings_with({}):
            return settings
    return pytest.fail(f"these tests know no other value of {name}: add one to OTHER")


@pytest.fixture(scope="module", autouse=True)
def networks_built_once() -> Iterator[None]:
    """Build a network anew only where its own settings differ, not for every plan."""
    built: dict[Any, Any] = {}
    real = pipeline.sets.load_network

    def load(name: str, choice: WeightsChoice, settings: StageOneSettings, **options: Any) -> Any:
        content = choice.file.read_bytes() if choice.file else b""
        key = (name, choice, content, settings.network, tuple(options.items()))
        if key not in built:
            built[key] = real(name, choice, settings, **options)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.sets, "load_network", load)
        patch.setattr(
            "pipeline.loaded._load", lambda n, c, s, d, b: load(n, c, s, device=d, batch_size=b)
        )
        yield


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Two clips and a cache of them; each run says which sets of which clips it computed."""

    clips: tuple[Clip, ...]
    cache: Path

    def plan(self, settings: StageOneSettings | None = None, **options: Any) -> Plan:
        weights = options.pop("weights", WeightsChoice())
        settings = settings or settings_with({})
        options.setdefault("device", "cpu")
        return plan_sets(SETS, settings, {"resnet18": weights}, cache=self.cache, **options)

    def extract(
        self, plan: Plan, clips: tuple[Clip, ...] | None = None, *, jobs: int = 0
    ) -> set[tuple[str, str]]:
        before = self.entries()
        results: tuple[ClipResult, ...] = run_extract(clips or self.clips, plan, jobs=jobs).clips
        after = self.entries()
        fresh = {
            (name, clip.clip)
            for clip in results
            for name, result in clip.sets.items()
            if result.fresh
        }
        written = {path for path in after if before.get(path) != after[path]}
        assert {(path.split("-")[0], Path(path).stem) for path in written} == fresh
        assert not [clip for clip in results if clip.state == "failed"]
        return fresh

    def entries(self) -> dict[str, tuple[int, int]]:
        """Every entry with its time and inode: one that is written again has another."""
        return {
            str(path.relative_to(self.cache)): (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in self.cache.rglob("*.h5")
        }

    def both(self, names: frozenset[str]) -> set[tuple[str, str]]:
        return {(name, clip.clip) for name in names for clip in self.clips}


def make_corpus(folder: Path) -> Corpus:
    clips = []
    for number in (2, 3):
        time = np.arange(16_000 * number // 10) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * 100 * number * time, dtype=np.float32)[None]
        path = folder / f"c{number}.mp4"
        images = [grey_frame(at + number) for at in range(number)]
        write_video(path, images, codec="mpeg4", sound=sound)
        clips.append(Clip(f"c{number}", path))
    return Corpus(tuple(clips), folder / "cache")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A corpus whose every set is up to date."""
    made = make_corpus(tmp_path)
    assert made.extract(made.plan()) == made.both(ALL)
    return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same, for tests that change neither its files nor its entries."""
    made = make_corpus(tmp_path_factory.mktemp("corpus"))
    made.extract(made.plan())
    return made


@pytest.mark.parametrize("name", NAMES)
def test_another_value_of_a_setting_recomputes_exactly_what_depends_on_it(
    name: str, shared: Corpus
) -> None:
    table = name.split(".")[0]
    assert table in DEPENDENTS, f"which sets depend on {table}? add it to DEPENDENTS"
    dependents = DEPENDENTS.get(name, DEPENDENTS[table])
    assert shared.extract(shared.plan(changed(name))) == shared.both(dependents)
    assert shared.extract(shared.plan()) == set()  # what was there is still there


@pytest.mark.parametrize(
    ("version", "dependents"),
    [
        ("faces", {"faces", "resnet18"}),
        ("network", {"resnet18"}),
        ("spectrogram", {"spectrogram"}),
        ("logmel", {"logmel"}),
    ],
)
def test_another_algorithm_version_recomputes_exactly_what_depends_on_it(
    version: str, dependents: set[str], shared: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = pipeline.sets.ALGORITHM_VERSIONS
    monkeypatch.setitem(versions, version, versions[version] + 1)
    assert shared.extract(shared.plan()) == shared.both(frozenset(dependents))


def test_every_algorithm_version_is_tested_here() -> None:
    tested = {"faces", "network", "spectrogram", "logmel"}
    untested = {"alexnet"}  # made from a trained run: tests/pipeline/test_alexnet_set.py
    assert set(pipeline.sets.ALGORITHM_VERSIONS) <= tested | untested


def test_a_flipped_byte_of_a_video_recomputes_every_set_of_that_clip_only(corpus: Corpus) -> None:
    path = corpus.clips[0].path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # in the last atom, which holds nothing but the encoder's name
    path.write_bytes(content)
    assert corpus.extract(corpus.plan()) == {(name, "c2") for name in SETS}


def test_a_flipped_byte_of_a_weight_file_recomputes_the_network_only(corpus: Corpus) -> None:
    from extractors.resnet18 import ResNet18
    from extractors.weights import initialise, save_weights

    file = corpus.cache.parent / "weights.safetensors"
    module = ResNet18()
    initialise(module, seed=5)
    save_weights(module, file, {})
    plan = functools.partial(corpus.plan, weights=WeightsChoice(file))
    assert corpus.extract(plan()) == corpus.both(frozenset({"resnet18"}))
    os.utime(file)
    assert corpus.extract(plan()) == set()
    copy = file.with_name("copy.safetensors")
    shutil.copy(file, copy)
    assert corpus.extract(corpus.plan(weights=WeightsChoice(copy))) == set()
    content = bytearray(file.read_bytes())
    content[-100] ^= 1  # the lowest byte of a float32
    file.write_bytes(content)
    assert corpus.extract(plan()) == corpus.both(frozenset({"resnet18"}))
    file.write_bytes(copy.read_bytes())
    assert corpus.extract(plan()) == set()  # both sets are kept, each under its key


def test_touching_copying_and_renaming_a_video_recompute_nothing(corpus: Corpus) -> None:
    first, second = corpus.clips
    os.utime(first.path)
    moved = second.path.with_name("elsewhere.mp4")
    second.path.rename(moved)
    clips = (first, dataclasses.replace(second, path=moved))
    assert corpus.extract(corpus.plan(), clips) == set()
    copied = moved.with_name("copy.mp4")
    shutil.copy(moved, copied)
    clips = (first, dataclasses.replace(second, path=copied))
    assert corpus.extract(corpus.plan(), clips) == set()


def test_another_part_of_a_video_recomputes_that_clip_and_another_label_nothing(
    corpus: Corpus,
) -> None:
    first, second = corpus.clips
    labelled = dataclasses.replace(first, label="happy", split="train", speaker="s1", fold=2)
    assert corpus.extract(corpus.plan(), (labelled, second)) == set()
    cut = dataclasses.replace(first, end_seconds=0.06)
    assert corpus.extract(corpus.plan(), (cut, second)) == {(name, "c2") for name in SETS}


def test_batch_size_jobs_and_retrying_failures_recompute_nothing(corpus: Corpus) -> None:
    for options in ({"batch_size": 7}, {"retry_failed": True}, {"command": ["another"]}):
        assert corpus.extract(corpus.plan(**options)) == set()
    assert corpus.extract(corpus.plan(), jobs=2) == set()


def test_the_device_is_in_no_key(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    plan = corpus.plan(device="cuda:0")
    assert [planned.spec.key for planned in plan.sets] == [
        planned.spec.key for planned in corpus.plan().sets
    ]


def test_chunks_and_batches_change_no_number_beyond_the_order_of_summation(
    corpus: Corpus, tmp_path: Path
) -> None:
    other = dataclasses.replace(corpus, cache=tmp_path / "other")
    chunks = settings_with({"decode": {"chunk_bytes": 1, "threads": 2}})  # a frame at a time
    other.extract(other.plan(chunks, batch_size=2))
    for clip in corpus.clips:
        for name in SETS:
            one, two = (
                find_set(c.cache, name).read(clip.clip, verify=True) for c in (corpus, other)
            )
            if name == "resnet18":
                scale = np.abs(one.arrays["basic"]).max()
                difference = np.abs(one.arrays["basic"] - two.arrays["basic"]).max()
                assert difference <= 1e-5 * scale  # see FaceNetwork
            else:
                assert one.checksums == two.checksums


@pytest.mark.parametrize("state", ["partial", "failed"])
def test_what_a_limit_cut_short_is_made_again_when_that_limit_changes_and_not_before(
    state: str, corpus: Corpus
) -> None:
    """It was trusted for ever: limits are in no key."""
    # A whole file that declares too many frames is refused; a part of one is read up to the limit.
    end = 9.0 if state == "partial" else None
    clips = (Clip("long", corpus.clips[1].path, end_seconds=end),)
    video = {("faces", "long"), ("resnet18", "long")}
    low = corpus.plan(settings_with({"decode": {"max_frames": 2}}))
    first = {clip.clip: clip for clip in run_extract(clips, low, jobs=0).clips}
    assert first["long"].sets["faces"].state == state
    assert "(max_frames)" in first["long"].sets["faces"].why[0]
    again = run_extract(clips, low, jobs=0).clips[0]
    assert {result.fresh for result in again.sets.values()} == {False}
    other = corpus.plan(settings_with({"decode": {"max_frames": 2, "max_channels": 9}}))
    again = run_extract(clips, other, jobs=0).clips[0]
    assert {result.fresh for result in again.sets.values()} == {False}
    assert corpus.extract(corpus.plan(), clips) >= video
    assert find_set(corpus.cache, "faces").read("long").arrays["times"].shape == (3,)
    assert corpus.extract(corpus.plan(), clips) == set()


def test_a_damaged_entry_is_made_again_before_another_set_is_made_from_it(corpus: Corpus) -> None:
    """The body was not verified: a flipped bit of a time went into every embedding."""
    faces = find_set(corpus.cache, "faces")
    path = faces.entry_path("c2")
    times = faces.read("c2").arrays["times"].tobytes()
    whole = path.read_bytes()
    at = whole.index(times)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
    corpus.extract(corpus.plan(settings_with({"crops": {"extend": 0.5}})))
    assert faces.read("c2", verify=True).arrays["times"].tobytes() == times


def test_a_partial_entry_that_is_damaged_behind_its_header_is_made_again(corpus: Corpus) -> None:
    """Reading what it lacks ended the whole run."""
    faces = find_set(corpus.cache, "faces")
    path = faces.entry_path("c3")
    content = bytearray(path.read_bytes())
    start = content.index(b"\x89HDF")
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    assert corpus.extract(corpus.plan()) == {("faces", "c3")}
    faces.read("c3", verify=True)


def test_crops_are_made_in_pieces_that_are_bounded_like_chunks(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of 48 MB of tiny frames became crops of 400 MB."""
    import pipeline.face_stages
    from pipeline.crops import crop_faces

    sizes = []

    def crop(images: np.ndarray, *others: Any) -> np.ndarray:
        crops = crop_faces(images, *others)
        sizes.append(crops.nbytes)
        return crops

    monkeypatch.setattr(pipeline.face_stages, "crop_faces", crop)
    limit = 2 * 3 * 224**2
    other = dataclasses.replace(corpus, cache=corpus.cache.with_name("other"))
    other.extract(other.plan(settings_with({"decode": {"chunk_bytes": limit}})))
    assert sizes == [limit, limit, limit // 2]  # of clips with 2 and 3 frames
    one, two = (find_set(each.cache, "resnet18").read("c3") for each in (corpus, other))
    assert np.array_equal(one.arrays["times"], two.arrays["times"])
