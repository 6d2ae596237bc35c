"""Entries and sets of layout 1, as version 0.1.0 wrote them, are read and trusted by content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cache.commit import CacheWriteError
from cache.entries import source as source_module
from cache.entries.entry import read_entry_header, read_identity, verify_entry
from cache.entries.sealed import LAYOUT, LayoutError, SealError, read_header
from cache.entries.source_check import SourceCheck
from cache.entries.trust import UPSTREAM_UNKNOWN
from cache.sets.feature_set import FeatureSet, SetError, find_set
from cache.upkeep.status import read_status
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import arrays_of

GOLDEN = Path(__file__).parent.parent.parent / "golden"
CLIP, VIDEO = "happy-s1-1", "happy/happy-s1-1.mp4"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the cache that version 0.1.0 made."""
    return Path(shutil.copytree(GOLDEN / "layout-1" / "cache", tmp_path / "cache"))


def layout_of(feature_set: FeatureSet) -> int:
    return int(json.loads((feature_set.folder / "set.json").read_text())["layout"])


def test_entries_of_layout_1_are_whole_and_have_an_identity(golden: Path) -> None:
    assert verify_cache(golden).damage == ()
    for name in ("faces", "logmel"):
        path = find_set(golden, name).entry_path(CLIP)
        header = verify_entry(path)
        assert (header.seal.layout, header.seal.body_start, header.identity) == (1, 1024, "")
        assert (header.source.ctime_ns, header.source.inode) == (None, None)
        assert read_identity(path) == find_set(golden, name).read(CLIP).identity
    assert {item.damaged for item in read_status(golden).sets} == {0}


def test_every_flipped_bit_of_its_header_is_found(golden: Path) -> None:
    path = find_set(golden, "faces").entry_path(CLIP)
    whole = path.read_bytes()
    for position in range(1024):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(SealError, match=r"header is damaged|starts with") as found:
            read_header(path, "entry")
        assert not isinstance(found.value, LayoutError)  # which isn't damage


def test_a_set_without_upstream_is_trusted_by_content_and_one_with_it_is_not(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "CLOCK_NS", 0)
    hashed: list[Path] = []
    real = source_module.digest_file
    monkeypatch.setattr(
        source_module, "digest_file", lambda path: (hashed.append(path), real(path))[1]
    )
    video = GOLDEN / "corpus" / VIDEO
    header = read_entry_header(find_set(golden, "faces").entry_path(CLIP))
    for _ in range(2):
        check = SourceCheck(video, cache=golden, clip=CLIP)
        for name in ("faces", "spectrogram", "logmel"):
            assert find_set(golden, name).trust(CLIP, check).state == header.state
        network = find_set(golden, "resnet18").trust(CLIP, check)
        assert network.reason == UPSTREAM_UNKNOWN.format(name="faces")
    assert hashed == [video]


def test_a_set_of_layout_1_is_of_layout_2_before_an_entry_comes_into_it(golden: Path) -> None:
    """Else an older version takes the new entries for damaged ones, and removes them."""
    logmel = find_set(golden, "logmel")
    provenance = logmel.provenance
    assert layout_of(logmel) == 1
    FeatureSet(golden, logmel.spec).create({})
    assert layout_of(logmel) == LAYOUT
    assert logmel.provenance == provenance
    source = read_entry_header(logmel.entry_path(CLIP)).source
    with logmel.writer("another", source=source, provenance={}) as writer:
        writer.append(**arrays_of())
        assert read_header(writer.finish(), "entry").layout == LAYOUT
    assert verify_cache(golden).damage == ()


def test_a_read_only_cache_of_layout_1_is_used_as_it_is(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise CacheWriteError(f"{path} can't be written")

    monkeypatch.setattr("cache.sets.spec.write_whole", refuse)
    logmel = find_set(golden, "logmel")
    FeatureSet(golden, logmel.spec).create({})
    assert layout_of(logmel) == 1


def test_a_set_of_a_later_layout_is_refused_and_left_as_it_is(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written anew: its entries then passed for damaged ones."""
    logmel = find_set(golden, "logmel")
    monkeypatch.setattr("cache.sets.spec.LAYOUT", 7)
    FeatureSet(golden, logmel.spec).create({})
    monkeypatch.undo()
    for refused in (lambda: FeatureSet.open(logmel.folder), lambda: logmel.create({})):
        with pytest.raises(SetError, match=f"has layout 7, this version of avfuse {LAYOUT}; use"):
            refused()
    assert layout_of(logmel) == 7
