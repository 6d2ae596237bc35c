from __future__ import annotations

from pathlib import Path

import pytest

from cache.entries.source_check import SourceCheck
from cache.entries.trust import Trust, trust_entry
from cache.sets.feature_set import FeatureSet
from cache.span import WHOLE_FILE, Span
from tests.cache.conftest import WriteEntry


def test_trust_is_a_state_without_a_reason_or_a_reason_without_a_state(
    feature_set: FeatureSet, write_entry: WriteEntry, video: Path
) -> None:
    path = write_entry("a", missing=("no audio stream",))
    key = feature_set.spec.key
    assert trust_entry(path, clip="a", key=key, source=SourceCheck(video)) == Trust("partial")
    for changed, reason in [
        ({"clip": "b"}, "the entry belongs to clip a"),
        ({"key": "0" * 64}, f"the entry has key {key[:12]}, not 000000000000"),
        ({"span": Span(0.5)}, "the clip's start or end has changed"),
        ({"span": Span(end=0.5)}, "the clip's start or end has changed"),
    ]:
        source = SourceCheck(video, changed.pop("span", WHOLE_FILE))
        arguments = {"clip": "a", "key": key, "source": source, **changed}
        assert trust_entry(path, **arguments) == Trust(None, reason)  # type: ignore[arg-type]  # values of several types


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
