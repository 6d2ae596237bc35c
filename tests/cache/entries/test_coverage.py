from __future__ import annotations

import json

import numpy as np
import pytest

from cache.entries.coverage import SEEN, Coverage, add_coverage, describe_coverage
from cache.entries.entry import EntryError, read_entry_header, verify_entry
from cache.entries.sealed import HEADER_BYTES, _format_header, read_header
from cache.entries.source import Source
from cache.sets.feature_set import FeatureSet
from cache.upkeep.status import read_status
from tests.cache.conftest import WriteEntry, rows

CLIPS = {
    "a": Coverage({"detect": 5, "whole": 2}, 0.4, upright=2),
    "b": Coverage({"whole": 3}, 1.2),
    "c": Coverage({"detect": 7, "second": 4, "follow": 2, "region": 1}, 0.0, upright=1),
    "empty": Coverage({}, 0.0),
}


def test_frames_are_added_up_and_clips_without_a_face_are_named() -> None:
    corpus = add_coverage(CLIPS)
    assert (corpus.clips, corpus.num_frames, corpus.num_with_face) == (4, 24, 19)
    assert corpus.rungs == {"detect": 12, "second": 4, "whole": 5, "follow": 2, "region": 1}
    assert (corpus.longest_gap_seconds, corpus.longest_gap_clip) == (1.2, "b")
    assert corpus.without_face == ("b",)  # a clip without frames, such as sound alone, is none
    stated = json.loads(json.dumps(corpus.to_json()))
    assert (stated["clips_without_face"], stated["upright"]) == (["b"], 3)
    assert describe_coverage(corpus) == (
        "19 of 24 frames with a face (79.2%): seen in 16 (detect 12, second 4), "
        "followed in 3 (follow 2, region 1); 3 cropped upright (their landmarks don't agree with "
        "the box); longest gap 1.20 s, in b; 1 clip without any face"
    )


def test_what_is_followed_counts_apart_from_what_is_seen() -> None:
    a_frame_each = Coverage(dict.fromkeys([*SEEN, "hold", "follow", "region", "whole"], 1), 0.0)
    assert a_frame_each.count_frames() == {
        "frames": 9,
        "frames_with_face": 8,
        "frames_seen": 5,
        "frames_followed": 3,
    }
    assert Coverage({"hold": 1_234}, 0.0).describe_sources() == (
        "seen in none, followed in 1,234 (hold 1,234)"
    )
    assert Coverage({"of another version": 7}, 0.0).num_followed == 7  # nobody saw those


def test_a_corpus_without_any_face_says_no_more_than_that() -> None:
    corpus = add_coverage({"a": Coverage({"whole": 3}, 0.08)})
    assert describe_coverage(corpus) == (
        "0 of 3 frames with a face (0.0%); longest gap 0.08 s, in a; 1 clip without any face"
    )


def test_nothing_has_no_coverage_to_describe() -> None:
    corpus = add_coverage({})
    assert (corpus.num_frames, corpus.longest_gap_clip, corpus.without_face) == (0, None, ())
    assert describe_coverage(corpus) == ""


def write(feature_set: FeatureSet, clip: str, coverage: Coverage) -> None:
    with feature_set.writer(clip, source=Source(1, 2, "0" * 64), provenance={}) as writer:
        writer.append(times=np.arange(3.0))
        writer.finish(facts={"coverage": coverage.to_json()})


def test_status_adds_coverage_up_from_headers_alone(
    feature_set: FeatureSet, write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry("plain")
    (found,) = read_status(feature_set.cache).sets
    assert found.coverage is None
    assert found.to_json()["coverage"] is None
    for clip, coverage in CLIPS.items():
        write(feature_set, clip, coverage)
    monkeypatch.setattr("h5py.File", None)
    (found,) = read_status(feature_set.cache).sets
    assert found.coverage == add_coverage(CLIPS)
    (found,) = read_status(feature_set.cache, rows("a", "plain")).sets
    assert found.coverage is not None
    assert found.coverage.rungs == {"detect": 5, "whole": 2}


def test_facts_stand_in_the_header_and_in_the_attributes_and_must_agree(
    feature_set: FeatureSet,
) -> None:
    write(feature_set, "a", CLIPS["a"])
    path = feature_set.entry_path("a")
    assert read_entry_header(path).coverage == CLIPS["a"]
    assert feature_set.read("a").attributes["coverage"] == CLIPS["a"].to_json()
    verify_entry(path)
    # A header of another entry, sealed anew, over this one's body.
    header = read_header(path, "entry")
    content = path.read_bytes()
    size = len(content) - HEADER_BYTES
    fields = {**header.fields, "body_bytes": size, "body_sha256": header.body_sha256}
    fields["facts"] = {"coverage": CLIPS["b"].to_json()}
    path.write_bytes(_format_header("entry", fields) + content[HEADER_BYTES:])
    with pytest.raises(EntryError, match="its header and its attributes disagree"):
        verify_entry(path)


def test_facts_that_are_too_long_for_the_header_are_refused(feature_set: FeatureSet) -> None:
    with pytest.raises(ValueError, match="a header has at most 2048 bytes"):
        write(feature_set, "a", Coverage({"x" * 2000: 1}, 0.0))
    assert not feature_set.entry_path("a").exists()
