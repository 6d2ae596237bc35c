from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.entries.entry import read_entry, read_entry_header, read_identity, verify_entry
from cache.entries.failure import Failure
from cache.entries.source import Source
from cache.entries.source_check import SourceCheck
from cache.entries.trust import Trust, trust_entry
from cache.entries.witness import witness_path
from cache.manifest.span import WHOLE_FILE, Span
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import WriteEntry, arrays_of

pytestmark = pytest.mark.usefixtures("settled")


def test_trust_is_a_state_without_a_reason_or_a_reason_without_a_state(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    path = write_entry("a", missing=("no audio stream",))
    key = feature_set.spec.key
    assert trust_entry(path, clip="a", key=key, source=SourceCheck(video)) == Trust("partial")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"clip": "b"}, "the entry belongs to clip a"),
        ({"key": "0" * 64}, f"the entry has key {key[:12]}, not 000000000000"),
        ({"span": Span(0.5)}, "the clip's start or end has changed"),
        ({"span": Span(end=0.5)}, "the clip's start or end has changed"),
    ]
    for changed, reason in cases:
        source = SourceCheck(video, changed.pop("span", WHOLE_FILE))
        arguments = {"clip": "a", "key": key, "source": source, **changed}
        assert trust_entry(path, **arguments) == Trust(None, reason)


def test_an_entry_that_can_not_be_read_is_a_reason_and_no_exception(
    feature_set: FeatureSet,
    write_entry: WriteEntry,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_entry("a")

    def stale(*args: object) -> int:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("os.open", stale)
    found = trust_entry(path, clip="a", key=feature_set.spec.key, source=SourceCheck(video))
    assert found.state is None
    assert "Stale file handle" in found.reason


@pytest.fixture
def made_from(feature_set: FeatureSet, write_entry: WriteEntry, source: Source) -> FeatureSet:
    """A set whose entry of clip a was made from the one in another."""
    write_entry("a")
    spec = SetSpec("heads", {}, 1, upstream={"resnet18": feature_set.spec.key})
    return write_made_from(FeatureSet(feature_set.cache, spec).create({}), feature_set, source)


def write_made_from(heads: FeatureSet, upstream: FeatureSet, source: Source) -> FeatureSet:
    stated = {"resnet18": upstream.read("a").identity}
    with heads.writer("a", source=source, provenance={}, upstream=stated) as writer:
        writer.append(times=np.arange(3.0))
        writer.finish()
    return heads


def test_an_entry_is_trusted_only_beside_the_very_one_that_it_was_made_from(
    made_from: FeatureSet, feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    assert made_from.trust("a", video) == Trust("ok")
    there = feature_set.entry_path("a")
    aside = there.rename(there.with_name("aside"))
    assert made_from.trust("a", video).reason == (
        "the entry of resnet18 that it was made from is gone"
    )
    write_entry("a")  # the same again, at another time
    assert made_from.trust("a", video) == Trust("ok")
    write_entry("a", arrays_of(seed=1))
    assert made_from.trust("a", video).reason == (
        "it was made from another entry of resnet18 than the one that is there"
    )
    there.write_bytes(there.read_bytes()[:-1])
    assert "that it was made from is damaged: clip a: entry" in made_from.trust("a", video).reason
    identity = read_entry_header(aside).identity
    assert made_from.trust("a", video, upstream={"resnet18": identity}) == Trust("ok")
    found = made_from.trust("a", video, upstream={"resnet18": "0" * 64})
    assert found.reason.startswith("it was made from another entry")


def test_an_identity_is_of_arrays_facts_and_source_and_not_of_provenance(
    feature_set: FeatureSet, source: Source
) -> None:
    base: dict[str, Any] = {
        "arrays": arrays_of(),
        "source": source,
        "attributes": {"duration_seconds": 0.28},
        "missing": (),
        "facts": {"noted": True},
        "provenance": {"host": "here"},
    }

    def identity(**changed: Any) -> str:
        about = {**base, **changed}
        with feature_set.writer(
            "a", source=about["source"], provenance=about["provenance"]
        ) as writer:
            writer.append(**about["arrays"])
            path = writer.finish(
                missing=about["missing"], attributes=about["attributes"], facts=about["facts"]
            )
        assert read_identity(path) == verify_entry(path).identity == writer.identity
        assert read_entry(path, ()).identity == writer.identity
        return writer.identity

    same: list[dict[str, Any]] = [
        {},
        {"provenance": {"host": "there"}},
        {"source": replace(source, mtime_ns=1, ctime_ns=2, inode=3)},
    ]
    other: list[dict[str, Any]] = [
        {"arrays": arrays_of(seed=1)},
        {"attributes": {"duration_seconds": 0.29}},
        {"missing": ("no audio stream",)},
        {"facts": {}},
        {"source": replace(source, sha256="0" * 64)},
        {"source": replace(source, end_seconds=1.0)},
    ]
    assert {identity(**changed) for changed in same} == {identity()}
    assert len({identity(**changed) for changed in [{}, *other]}) == 1 + len(other)


def test_an_entry_must_state_what_its_set_is_made_from(
    made_from: FeatureSet, feature_set: FeatureSet, source: Source
) -> None:
    with pytest.raises(ValueError, match=r"clip a: heads-.* made from resnet18, .* state none"):
        made_from.writer("a", source=source, provenance={})
    with pytest.raises(ValueError, match=r"made from no other set, .* state faces"):
        feature_set.writer("a", source=source, provenance={}, upstream={"faces": "0" * 64})


def test_verify_tells_of_an_entry_whose_upstream_is_another_and_gc_of_a_lone_witness(
    made_from: FeatureSet, feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    """Two files under one clip id left entries that no check told apart."""
    cache = feature_set.cache
    os.utime(video)
    assert feature_set.trusted("a", video) == "ok"
    witness = witness_path(cache, "a")
    assert witness.exists()
    assert find_garbage(cache) == []
    report = verify_cache(cache)
    assert (report.damage, report.superseded) == ((), {})
    write_entry("a", arrays_of(seed=1))
    report = verify_cache(cache)
    assert report.damage == ()
    assert report.superseded == {
        str(made_from.entry_path("a")): "clip a: it was made from another entry of resnet18 than "
        "the one that is there"
    }
    witness.write_text("{}")
    assert [(item.kind, item.path) for item in verify_cache(cache).damage] == [("witness", witness)]
    assert find_garbage(cache, sets=[made_from, feature_set])[2:] == []
    assert verify_cache(cache, remove=True).removed == (witness,)
    assert feature_set.trusted("a", video) == "ok"
    lone = find_garbage(cache, sets=[made_from, feature_set])[-1]
    assert (lone.kind, lone.path, lone.reason) == (
        *("witness", witness),
        "no set has its clip any more",
    )
    remove_garbage([lone])
    assert not witness.exists()


def test_a_failure_ends_an_entry_that_was_made_from_another_one_than_is_there(
    made_from: FeatureSet, feature_set: FeatureSet, write_entry: WriteEntry, source: Source
) -> None:
    failure = Failure("a", "network", "reason", source)
    made_from.record_failure(failure)
    assert made_from.clip_ids() == ["a"]
    write_entry("a", arrays_of(seed=1))
    made_from.record_failure(failure)
    assert made_from.clip_ids() == []
