"""Operations on a cache: entries, failures, sets, packs, imports, an extraction, removals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cache.commit import temporary_writer
from cache.digest import digest_json
from cache.entries.failure import Failure
from cache.entries.sealed import read_header, verify_body
from cache.entries.source import Source
from cache.manifest.clip import Clip
from cache.packs.pack import find_packs, open_pack
from cache.sets.feature_set import FeatureSet, SetSpec, list_sets
from cache.sets.scan import REMOVED, NotACacheError, find_temporaries
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache
from pipeline.exchange.importing import import_features
from pipeline.exchange.settings import ImportSettings
from pipeline.extract.plan import plan_sets
from pipeline.extract.run import REPORT_NAME, CacheFullError, run_extract
from pipeline.extract.settings import StageOneSettings
from tests.crash.operation import Mark, Operation
from tests.pipeline.extracting import write_tone

SPEC = SetSpec("resnet18", {"size": 13}, version=1, weights="a" * 64)
OLD, NEW = (Source(11, 7, letter * 64) for letter in "ab")
# Two clips whose entries lie in one shard, and one whose lies in another.
CLIP, NEIGHBOUR, OTHER = "clip-a", "clip-74", "clip-b"


def the_set(root: Path, spec: SetSpec = SPEC) -> FeatureSet:
    return FeatureSet(root / "cache", spec)


def make_set(root: Path, outside: Path | None = None) -> FeatureSet:
    return the_set(root).create({"host": "here"})


def commit(
    feature_set: FeatureSet, clip: str = CLIP, *, seed: int = 1, source: Source = OLD
) -> None:
    """Write an entry whose arrays tell the seed."""
    generator = np.random.default_rng(seed)
    with feature_set.writer(clip, source=source, provenance={"host": "here"}) as writer:
        for start in (0, 7):
            times = (start + np.arange(7)) / 25
            basic = generator.normal(size=(7, 41)).astype(np.float32)
            writer.append(times=times, basic=basic, std=basic**2)
        writer.finish(attributes={"frames": 14})


def fail(feature_set: FeatureSet, reason: str, *, source: Source = OLD) -> None:
    feature_set.record_failure(Failure(CLIP, "decode", reason, source))


def look(root: Path) -> dict[str, Any]:
    """Read every set, entry, failure and pack through, and the report."""
    cache = root / "cache"
    seen: dict[str, Any] = {}
    if not cache.is_dir():
        return seen
    for feature_set in list_sets(cache):
        name = feature_set.spec.name
        seen[name] = feature_set.spec.key
        for clip in feature_set.clip_ids():
            entry = feature_set.read(clip, verify=True)
            seen[f"{name}, entry of {clip}"] = digest_json(dict(entry.checksums))
        for failure in feature_set.failures():
            seen[f"{name}, failure of {failure.clip}"] = failure.reason
    for path in find_packs(cache):
        verify_body(path, read_header(path, "pack"))
        with h5py.File(path, "r", locking=False) as file:
            seen[f"pack {path.name}"] = hashlib.sha256(file["values"][...].tobytes()).hexdigest()
    if (cache / REPORT_NAME).exists():
        report = json.loads((cache / REPORT_NAME).read_text())
        seen["report"] = [clip["clip"] for clip in report["clips"]]
    return seen


def tidy(root: Path, *, may_be: tuple[str, ...] = ()) -> None:
    """Verify the cache and collect its garbage: no damage, and nothing that nobody knows stays.

    Args:
        root: the watched folder.
        may_be: what was wrong before the operation: "broken set", "stale pack".
    """
    cache = root / "cache"
    before = look(root)
    try:
        report = verify_cache(cache)
    except NotACacheError:
        assert before == {}
        return
    wrong = {f"broken {damage.kind}" for damage in report.damage}
    assert wrong | {"stale pack" for _ in report.stale_packs} <= {*may_be}, report
    remove_garbage(find_garbage(cache))
    if not report.stale_packs:
        assert look(root) == before
    assert list(find_temporaries(cache)) == []
    for path in cache.rglob("*"):
        assert not temporary_writer(path), path
        assert not path.name.startswith(REMOVED), path


def _cache_operation(
    name: str,
    act: Callable[[FeatureSet], None],
    before: Callable[[FeatureSet], None] = lambda _: None,
    **more: Any,
) -> Operation:
    """Return an operation on the set, which is there."""

    def prepare(root: Path, outside: Path) -> None:
        before(make_set(root))

    def acting(root: Path, outside: Path, mark: Mark) -> None:
        act(the_set(root))
        mark()

    return Operation(name, acting, look, prepare, **{"tidy": tidy, **more})


def _both(feature_set: FeatureSet) -> None:
    commit(feature_set, NEIGHBOUR, seed=3)
    commit(feature_set, OTHER, seed=5)


def _first_of_a_set(root: Path, outside: Path, mark: Mark) -> None:
    feature_set = make_set(root)
    mark()
    commit(feature_set)
    mark()


def _beside_a_new_shard(root: Path, outside: Path, mark: Mark) -> None:
    """Another process makes the shard and is slow to flush its name."""
    feature_set = the_set(root)
    feature_set.entry_path(CLIP).parent.mkdir(exist_ok=True)
    commit(feature_set)
    mark()


def _aside(root: Path) -> Path:
    return root / "cache" / "aside"


def _set_aside(root: Path, outside: Path) -> None:
    make_set(root).folder.rename(_aside(root))


def _beside_a_new_set(root: Path, outside: Path, mark: Mark) -> None:
    """Another process makes the set and is slow to flush its name."""
    if _aside(root).exists():
        _aside(root).rename(the_set(root).folder)
    commit(make_set(root))
    mark()


def _damage_set(feature_set: FeatureSet) -> None:
    commit(feature_set)
    (feature_set.folder / "set.json").write_text("{}")


def _pack(feature_set: FeatureSet) -> None:
    open_pack(feature_set, [OTHER, NEIGHBOUR], "basic")


def _pack_and_replace(feature_set: FeatureSet) -> None:
    _both(feature_set)
    _pack(feature_set)
    remove_garbage(find_garbage(feature_set.cache))
    commit(feature_set, OTHER, seed=7)


def _write_features(outside: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(outside / "features.npz", **{clip: generator.normal(size=5) for clip in ("a", "b")})


def _import(root: Path, outside: Path, mark: Mark) -> None:
    import_features(
        root / "cache",
        "mine",
        outside / "features.npz",
        ["a", "b", "c"],
        ImportSettings(format="npz"),
        allow_missing=True,
        command=["avfuse"],
    )
    mark()


def _write_clips(outside: Path) -> None:
    write_tone(outside / "tone.wav", 0.3)
    write_tone(outside / "other.wav", 0.2)
    (outside / "broken.wav").write_bytes(b"no sound")


def _extract(root: Path, outside: Path, mark: Mark) -> None:
    clips = [Clip(name, outside / f"{name}.wav", "a") for name in ("tone", "broken", "other")]
    plan = plan_sets(["spectrogram"], StageOneSettings(), {}, cache=root / "cache")
    summary = run_extract(clips, plan, jobs=0, tell_failures=False)
    for clip in summary.clips:
        if clip.state == "failed" and clip.clip != "broken":  # told, and not recorded
            raise OSError(f"{clip.clip}: {clip.reason}")
    mark()


def _remove_set(root: Path, outside: Path, mark: Mark) -> None:
    cache = root / "cache"
    sets = [item for item in list_sets(cache) if item.spec == SPEC]
    remove_garbage(find_garbage(cache, sets=sets))
    mark()


def _two_sets(root: Path, outside: Path) -> None:
    _both(make_set(root))
    commit(the_set(root, SetSpec("faces", {}, version=1)).create({}))


OPERATIONS = [
    _cache_operation("entry", commit, _both),
    _cache_operation("entry in a new shard", commit, every=3),
    _cache_operation(
        "entry over another", lambda s: commit(s, seed=2, source=NEW), lambda s: commit(s)
    ),
    _cache_operation("entry over a failure", commit, lambda s: fail(s, "it was cut off")),
    Operation("first entry of a set", _first_of_a_set, look, tidy=tidy),
    Operation(
        "entry in a shard just made",
        _beside_a_new_shard,
        look,
        lambda root, _: make_set(root) and None,
        tidy=tidy,
        every=3,
    ),
    Operation("entry in a set just made", _beside_a_new_set, look, _set_aside, tidy=tidy, every=3),
    _cache_operation("failure", lambda s: fail(s, "it is empty")),
    _cache_operation(
        "failure over another", lambda s: fail(s, "it is empty"), lambda s: fail(s, "cut off")
    ),
    _cache_operation(
        "failure of a new video", lambda s: fail(s, "it is empty", source=NEW), lambda s: commit(s)
    ),
    _cache_operation(
        "set written anew",
        lambda s: s.create({}) and None,
        _damage_set,
        tidy=partial(tidy, may_be=("broken set",)),
    ),
    _cache_operation("pack", _pack, _both, every=2),
    _cache_operation(
        "pack built anew",
        _pack,
        _pack_and_replace,
        tidy=partial(tidy, may_be=("stale pack",)),
        every=5,
    ),
    Operation("import", _import, look, surround=_write_features, tidy=tidy, every=5),
    Operation(
        "extract",
        _extract,
        look,
        surround=_write_clips,
        tidy=tidy,
        refusals=(CacheFullError,),
        every=9,
    ),
    Operation("gc --set", _remove_set, look, _two_sets, tidy=tidy, every=5),
]
