"""Persons whose faces are in several splits, by the cache's table of persons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cache.entries.source import Source
from cache.persons import ClipSpeaker, Person, Persons, PersonTrack, write_persons
from cache.sets.feature_set import FeatureSet
from cache.sets.spec import SetSpec
from pipeline.cli import main
from tests.pipeline.videos import write_wav

SPLITS = {"a": "train", "b": "train", "c": "val", "d": "test", "e": "test", "f": ""}
SEEN = {"Ann": "abd", "<b>Bob": "c", "Cid": "bf", "Dan": "ce"}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six clips of sound, each of another length."""
    for number, clip in enumerate(SPLITS):
        sound = np.sin(np.arange(4000 + 100 * number), dtype=np.float32)[None]
        write_wav(tmp_path / f"{clip}.wav", sound, 16_000)
    rows = [f"{clip},{clip}.wav,{split}" for clip, split in SPLITS.items()]
    (tmp_path / "m.csv").write_text("\n".join(["clip,path,split", *rows]))
    return tmp_path / "m.csv"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with an entry for every clip, and the table of persons that was made from them."""
    made = FeatureSet(tmp_path / "cache", SetSpec("identity", {}, 1)).create({})
    for number, clip in enumerate(SPLITS):
        with made.writer(clip, source=Source(number, 1, "0" * 64), provenance={}) as writer:
            writer.append(times=np.zeros(1))
            writer.finish()
    headers = made.read_headers(SPLITS)
    tracks = {
        name: [PersonTrack(c, i, 0.5) for c in seen] for i, (name, seen) in enumerate(SEEN.items())
    }
    persons = [Person(name, 1.0, tuple(own)) for name, own in tracks.items()]
    rows = {clip: ClipSpeaker(None, 0.0, header.identity) for clip, header in headers.items()}
    write_persons(made.cache, Persons(made.folder.name, tuple(persons), rows))
    return made.cache


def doctor(manifest: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    command = ["doctor", str(manifest), "--json", "--jobs", "0", *map(str, arguments)]
    result = CliRunner().invoke(main, command)
    return result.exit_code, json.loads(result.stdout)


def shared(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    found = [finding for finding in report["findings"] if finding["kind"] == "shared person"]
    assert {finding["severity"] for finding in found} <= {"spoils"}
    return [(finding["text"], finding["clips"]) for finding in found]


def test_a_person_in_several_splits_is_a_leak_and_named_with_the_clips(
    manifest: Path, cache: Path
) -> None:
    code, report = doctor(manifest, "--cache", cache)
    assert (code, report["unchecked"]) == (1, [])
    assert shared(report) == [
        ("the face of Ann is in several splits (train: a, b; test: d): leak", ["a", "b", "d"]),
        ("the face of Dan is in several splits (val: c; test: e): leak", ["c", "e"]),
    ]


def test_a_clip_whose_faces_were_found_again_is_not_judged_by_the_old_persons(
    manifest: Path, cache: Path
) -> None:
    made = FeatureSet(cache, SetSpec("identity", {}, 1))
    made.entry_path("d").unlink()
    _, report = doctor(manifest, "--cache", cache)
    assert [clips for _, clips in shared(report)] == [["c", "e"]]
    (unchecked,) = report["unchecked"]
    assert unchecked.startswith("the persons of 1 clip, such as d: its entry in identity-")
    assert unchecked.endswith(f"run 'avfuse persons {manifest} --cache {cache}' again")


def test_without_a_table_it_is_said_that_persons_were_not_looked_at_and_how_to(
    manifest: Path, cache: Path
) -> None:
    code, report = doctor(manifest)
    assert (code, shared(report)) == (0, [])
    (unchecked,) = report["unchecked"]
    assert unchecked.startswith("whether a person is in several splits; run 'avfuse persons ")
    (cache / "persons.json").unlink()
    code, report = doctor(manifest, "--cache", cache)
    assert f"{cache} has no persons; run 'avfuse persons {manifest}" in report["unchecked"][0]
    plain = CliRunner().invoke(main, ["doctor", str(manifest), "--jobs", "0"]).stdout
    assert plain.splitlines()[-2].startswith("not checked: whether a person is in several splits")
    manifest.write_text("clip,path,split\na,a.wav,train\n")  # one split has nothing to share
    assert doctor(manifest)[1]["unchecked"] == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda cache: (cache / "persons.json").write_text("{}"), "the table of persons"),
        (lambda cache: cache.rename(cache.parent / "moved"), "cache does not exist; expected the"),
    ],
    ids=["damaged table", "no cache"],
)
def test_a_cache_that_cannot_be_read_is_wrong_use(
    manifest: Path, cache: Path, spoil: Any, said: str
) -> None:
    spoil(cache)
    result = CliRunner().invoke(main, ["doctor", str(manifest), "--cache", str(cache)])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
