"""The set ``identity``: made in one pass with ``faces``, kept beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.commit import remove_durably
from cache.manifest.clip import Clip
from cache.sets.feature_set import find_set
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.weights import WeightsChoice
from pipeline.faces.identity import SAME_PERSON, read_identity
from pipeline.faces.tracks import is_seen, read_tracks
from tests.pipeline.extracting import entries
from tests.pipeline.scenes import moving, scene
from tests.pipeline.videos import write_video
from tests.pipeline.watched_corpus import settings_with

NUM_FRAMES = 37


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path, scene(NUM_FRAMES, moving), codec="mpeg4")
    return Clip("a", path)


def plan(cache: Path, *names: str, **faces: object) -> Plan:
    weights = {"resnet18": WeightsChoice()} if "resnet18" in names else {}
    return plan_sets(names, settings_with({"faces": faces}), weights, cache=cache, device="cpu")


def key(made: Plan, name: str) -> str:
    return made.feature_sets[name].spec.key


@pytest.mark.parametrize(
    ("names", "ladder", "made"),
    [
        (("identity",), "full", ["faces", "identity"]),
        (("faces",), "full", ["faces", "identity"]),
        (("resnet18",), "full", ["faces", "identity", "resnet18"]),
        (("resnet18",), "papers", ["faces", "resnet18"]),
        (("identity",), "papers", ["faces", "identity"]),
        (("spectrogram",), "full", ["spectrogram"]),
    ],
)
def test_identity_comes_with_faces_but_on_the_papers_ladder(
    names: tuple[str, ...], ladder: str, made: list[str], tmp_path: Path
) -> None:
    assert [planned.name for planned in plan(tmp_path, *names, ladder=ladder).sets] == made


def test_another_recogniser_makes_other_identities_and_other_tracks_where_it_joins_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[tuple[str, str]]:
        joined = plan(tmp_path, "identity")
        apart = plan(tmp_path, "identity", join="none")
        papers = plan(tmp_path, "identity", ladder="papers")
        return [(key(made, "faces"), key(made, "identity")) for made in (joined, apart, papers)]

    before = keys()
    other = tmp_path / "other.dat"
    other.write_bytes(b"another network")
    monkeypatch.setattr("pipeline.extract.plan.find_recogniser", lambda: other)
    after = keys()
    changed = [(a != c, b != d) for (a, b), (c, d) in zip(before, after, strict=True)]
    assert changed == [(True, True), (False, True), (False, True)]


@pytest.mark.slow
def test_an_identity_entry_is_of_the_faces_beside_it(clip: Clip, tmp_path: Path) -> None:
    run_extract((clip,), plan(tmp_path, "faces"), jobs=0)
    faces, entry = find_set(tmp_path, "faces").read("a"), find_set(tmp_path, "identity").read("a")
    assert entry.upstream == {"faces": faces.identity}
    found, crops = read_tracks(faces), read_identity(entry)
    assert set(crops.times) <= set(found.times)
    assert (np.diff(crops.frame) >= 0).all()
    assert crops.frame.max() == len(crops.times) - 1
    tracks = found.tracks
    for frame, track, box in zip(crops.frame, crops.track, crops.box, strict=True):
        at = int(np.flatnonzero(found.times == crops.times[frame])[0])
        (row,) = np.flatnonzero((tracks.frame == at) & (tracks.number == track))
        assert np.array_equal(tracks.box[row], box)
        assert is_seen(tracks.rung[row])
    distances = np.linalg.norm(crops.embedding[:, None] - crops.embedding, axis=-1)
    assert len(distances) >= 1
    assert distances.max() < SAME_PERSON


@pytest.mark.slow
def test_where_faces_or_identity_lacks_both_are_made_again_and_nothing_else(
    clip: Clip, tmp_path: Path
) -> None:
    asked = plan(tmp_path, "resnet18")
    run_extract((clip,), asked, jobs=0)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.h5")}
    for lost in ("faces", "identity"):
        before = entries(tmp_path)
        remove_durably(asked.feature_sets[lost].entry_path("a"))
        (result,) = run_extract((clip,), asked, jobs=0).clips
        assert {name for name, one in result.sets.items() if one.fresh} == {"faces", "identity"}
        kept = {path for path, state in entries(tmp_path).items() if before[path] == state}
        assert [path.split("-")[0] for path in kept] == ["resnet18"]
        if lost == "identity":
            assert result.sets["faces"].again == "it is made together with identity"
        assert whole == {path: path.read_bytes() for path in tmp_path.rglob("*.h5")}
    (result,) = run_extract((clip,), asked, jobs=0).clips
    assert not any(one.fresh for one in result.sets.values())


@pytest.mark.slow
def test_identities_have_the_same_digests_from_another_process(clip: Clip, tmp_path: Path) -> None:
    found = []
    for jobs in (0, 1):
        cache = tmp_path / str(jobs)
        run_extract((clip,), plan(cache, "faces"), jobs=jobs)
        found.append([find_set(cache, name).read("a").identity for name in ("faces", "identity")])
    assert found[0] == found[1]
