"""Names of persons on contact sheets, by the cache's table of persons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.entries.entry import read_identity
from cache.entries.source import read_source
from cache.manifest.clip import Clip
from cache.persons import ClipSpeaker, Person, Persons, PersonTrack, write_persons
from cache.sets.feature_set import FeatureSet, SetSpec
from tests.pipeline.known_faces import SPEC, write_clip, write_table
from tests.pipeline.sheets import TWO, inspect, pictures, show

ANN = "<script>Ann</script>"


@pytest.fixture
def two(tmp_path: Path) -> Clip:
    """A clip with two tracks."""
    return write_clip(tmp_path / "cache", tmp_path / "two.mp4", TWO)


def know(clip: Clip, cache: Path, faces_key: str = SPEC.key) -> FeatureSet:
    """Write the set and the table that make Ann the person on the clip's track 1."""
    made = FeatureSet(cache, SetSpec("identity", {}, 1, upstream={"faces": faces_key})).create({})
    upstream = {"faces": read_identity(FeatureSet(cache, SPEC).entry_path(clip.id))}
    with made.writer(
        clip.id, source=read_source(clip.path), provenance={}, upstream=upstream
    ) as writer:
        writer.append(times=np.zeros(1))
        writer.finish()
    row = ClipSpeaker(ANN, 0.5, str(read_identity(made.entry_path(clip.id))))
    persons = (Person(ANN, 1.0, (PersonTrack(clip.id, 1, 0.5),)),)
    write_persons(cache, Persons(made.folder.name, persons, {clip.id: row}))
    return made


def test_a_person_is_named_escaped_and_drawn(tmp_path: Path, two: Clip) -> None:
    assert "2 tracks;" in show([two], tmp_path)
    (before,) = pictures(tmp_path / "sheet.html")
    know(two, tmp_path / "cache")
    text = show([two], tmp_path)
    assert "2 tracks (1 &lt;script&gt;Ann&lt;/script&gt;);" in text
    assert "<script>" not in text
    (named,) = pictures(tmp_path / "sheet.html")
    assert not np.array_equal(before, named)


def test_names_of_other_faces_or_other_entries_are_not_shown(tmp_path: Path, two: Clip) -> None:
    know(two, tmp_path / "cache", faces_key="0" * 64)
    assert "2 tracks;" in show([two], tmp_path)  # the table is of another set of faces
    made = know(two, tmp_path / "cache")
    made.entry_path(two.id).unlink()
    text = show([two], tmp_path)
    assert "2 tracks;" in text
    assert "the table of persons is stale: its entry in identity-" in text


def test_a_damaged_table_is_told(tmp_path: Path, two: Clip) -> None:
    (tmp_path / "cache" / "persons.json").write_text("{}")
    result = inspect(write_table(tmp_path, [two]), tmp_path / "cache", tmp_path / "sheet.html")
    assert result.exit_code == 2
    assert "run 'avfuse persons' again" in " ".join(result.stderr.split())
