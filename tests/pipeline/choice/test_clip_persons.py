"""The face of a person, or of everyone else, through the command line and a table of persons."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from cache.persons import ClipSpeaker, Person, Persons, PersonTrack, write_persons
from cache.sets.feature_set import FeatureSet, SetSpec, find_set
from pipeline.choice.clip_persons import ClipPersons, PolicyError, load_persons, persons_of
from pipeline.faces.settings import FaceSettings
from tests.pipeline.choice.test_policy_and_overrides import extract, manifest, network

__all__ = ["manifest"]
FACES = SetSpec("faces", {}, 1)
ANNA, SPEAKER = "Anna Lee", "Ben"


def write_table(
    cache: Path,
    names: Mapping[str, Mapping[int, str]],
    identities: Mapping[str, str],
    made_from: SetSpec,
) -> None:
    """Write a table of persons; Ben speaks wherever he is."""
    everyone = sorted({name for tracks in names.values() for name in tracks.values()})
    persons = [
        Person(name, 0.9, tuple(
            PersonTrack(clip, number, 0.5)
            for clip in sorted(names) for number, one in sorted(names[clip].items()) if one == name
        ))
        for name in everyone
    ]  # fmt: skip
    rows = {
        clip: ClipSpeaker(SPEAKER if SPEAKER in tracks.values() else None, 0.5, identities[clip])
        for clip, tracks in names.items()
    }
    write_persons(cache, Persons(made_from.folder, tuple(persons), rows))


@pytest.fixture
def cast(tmp_path: Path) -> Path:
    """A cache whose table knows Anna in a and b, Ben in a alone."""
    cache = tmp_path / "cache"
    made_from = SetSpec("identity", {}, 1, upstream={"faces": FACES.key})
    FeatureSet(cache, made_from).create({})
    names = {"a": {0: ANNA, 1: SPEAKER}, "b": {2: ANNA, 3: "Cleo"}}
    write_table(cache, names, {"a": "0" * 64, "b": "1" * 64}, made_from)
    return cache


@pytest.mark.parametrize("policy", ["person=Anna Lee", "person=x=y", "other", "central"])
def test_the_policies_are_these(policy: str) -> None:
    assert FaceSettings(policy=policy).policy == policy


@pytest.mark.parametrize("policy", ["person", "person=", "others", "Largest", ""])
def test_another_policy_is_refused_with_all_there_are(policy: str) -> None:
    with pytest.raises(ValueError, match=r"policy must be one of largest, .*, other, person=NAME"):
        FaceSettings(policy=policy)


@pytest.mark.parametrize(
    ("seconds", "bound"), [(-0.1, "not be negative"), (1.1, r"be in \[0, 1\]")]
)
def test_the_shortest_switch_is_at_most_a_second(seconds: float, bound: str) -> None:
    with pytest.raises(ValueError, match=f"switch_seconds must {bound}, got {seconds}"):
        FaceSettings(switch_seconds=seconds)


def test_a_policy_takes_of_the_table_what_it_asks_for(cast: Path) -> None:
    persons = load_persons(cast, "other", FACES)
    assert persons is not None
    assert persons_of("a", persons, "other") == ClipPersons({0: ANNA, 1: SPEAKER}, SPEAKER)
    assert persons_of("b", persons, "other") == ClipPersons({2: ANNA, 3: "Cleo"})
    assert persons_of("b", persons, f"person={ANNA}") == ClipPersons({2: ANNA})
    nobody = persons_of("b", persons, f"person={SPEAKER}")
    assert nobody == persons_of("c", persons, "other") == ClipPersons()
    assert nobody.digest == ""
    one = persons_of("a", persons, "other")
    assert ClipPersons.from_json(one.to_json()) == one
    assert one.digest != ClipPersons(one.names).digest != ""


def test_only_policies_by_person_read_the_table(cast: Path, tmp_path: Path) -> None:
    assert load_persons(cast, "largest", FACES) is None
    assert load_persons(tmp_path, "other", FACES) is None
    (cast / "persons.json").write_text("{")
    assert load_persons(cast, "largest", FACES) is None
    with pytest.raises(ValueError, match=r"table of persons .* can't be used"):
        load_persons(cast, "other", FACES)


def test_a_person_whom_the_cache_does_not_know_is_refused(cast: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"has none; run 'avfuse persons MANIFEST --cache .* fir"):
        load_persons(tmp_path, "person=Anna", FACES)
    with pytest.raises(PolicyError, match=r"no 'Anne Lee' among its 3; did you mean 'Anna Lee'\?"):
        load_persons(cast, "person=Anne Lee", FACES)


def test_a_table_of_other_faces_is_refused(cast: Path) -> None:
    other = SetSpec("faces", {"upsample": 2}, 1)
    with pytest.raises(PolicyError, match=f"made from {FACES.folder}, and .* make {other.folder}"):
        load_persons(cast, "other", other)
    gone = SetSpec("identity", {}, 2, upstream={"faces": FACES.key})
    write_table(cast, {"a": {0: ANNA}}, {"a": "0" * 64}, gone)
    with pytest.raises(PolicyError, match=f"made from {gone.folder}.*run 'avfuse persons"):
        load_persons(cast, "other", FACES)


# ---- through extract: two faces in each of two clips


def know(manifest: Path, names: Mapping[str, Mapping[int, str]]) -> None:
    """Write the table that ``avfuse persons`` would, were it told these names."""
    cache = manifest.parent / "cache"
    made = find_set(cache, "identity")
    write_table(cache, names, {clip: made.read(clip).identity for clip in names}, made.spec)


BY_PERSON = ("--set", f"faces.policy=person={ANNA}")


@pytest.mark.slow
def test_a_person_is_cropped_wherever_she_is_and_anew_when_the_table_changes(
    manifest: Path,
) -> None:
    result = extract(manifest, *BY_PERSON)
    assert result.exit_code == 2
    assert "run 'avfuse persons MANIFEST" in result.output
    extract(manifest)
    (largest,) = set(network(manifest, "a")["track"].tolist())
    know(manifest, {"a": {1 - largest: ANNA, largest: SPEAKER}, "b": {largest: SPEAKER}})
    result = extract(manifest, *BY_PERSON)
    assert "2 computed now, 0 unchanged" in result.output
    policy = BY_PERSON[1].removeprefix("faces.policy=")
    anna = network(manifest, "a", policy)
    assert anna["track"].tolist() == [1 - largest] * 3
    assert anna.attributes["by_person"] == {"names": {str(1 - largest): ANNA}, "speaker": None}
    assert network(manifest, "b", policy)["track"].tolist() == [-1] * 3
    assert "0 computed now, 2 unchanged" in extract(manifest, *BY_PERSON).output
    # Another name for Ben decides nothing here; that Anna is in b, does.
    know(manifest, {"a": {1 - largest: ANNA, largest: "Benjamin"}, "b": {largest: ANNA}})
    result = extract(manifest, *BY_PERSON)
    assert "1 computed now, 1 unchanged" in result.output
    assert "the table of persons has it otherwise" in result.output
    assert network(manifest, "b", policy)["track"].tolist() == [largest] * 3


@pytest.mark.slow
def test_the_listener_is_everyone_but_the_speaker(manifest: Path) -> None:
    other = ("--set", "faces.policy=other")
    assert extract(manifest, *other).exit_code == 0
    tracks = {clip: network(manifest, clip, "other")["track"].tolist() for clip in "ab"}
    extract(manifest)
    (largest,) = set(network(manifest, "a")["track"].tolist())
    assert tracks == {"a": [1 - largest] * 3, "b": [1 - largest] * 3}
    know(manifest, {"a": {1 - largest: SPEAKER, largest: ANNA}, "b": {}})
    assert "1 computed now, 1 unchanged" in extract(manifest, *other).output
    assert network(manifest, "a", "other")["track"].tolist() == [largest] * 3
    (manifest.parent / "cache" / "persons.json").unlink()
    assert "1 computed now, 1 unchanged" in extract(manifest, *other).output
    assert network(manifest, "a", "other")["track"].tolist() == [1 - largest] * 3


@pytest.mark.slow
def test_a_clip_whose_row_is_stale_is_refused_by_name_and_not_recorded(manifest: Path) -> None:
    extract(manifest)
    know(manifest, {"a": {0: ANNA}})
    cache = manifest.parent / "cache"
    result = extract(manifest, *BY_PERSON)
    assert result.exit_code == 1
    assert "failed: b: the table of persons is stale: it doesn't have this clip; run" in (
        " ".join(result.output.split())
    )
    made, names = find_set(cache, "identity"), {"a": {0: ANNA}, "b": {1: ANNA}}
    write_table(cache, names, {"a": made.read("a").identity, "b": "0" * 64}, made.spec)
    result = extract(manifest, *BY_PERSON)
    assert result.exit_code == 1
    assert f"its entry in {made.folder.name} was made again since" in result.output
    assert not list(cache.glob("resnet18-*/failures/*"))
    know(manifest, {"a": {0: ANNA}, "b": {1: ANNA}})
    assert extract(manifest, *BY_PERSON).exit_code == 0
