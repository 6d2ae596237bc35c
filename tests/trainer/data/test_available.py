"""Which clips have features, and why the others have not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cache.entries.failure import Failure
from cache.sets.feature_set import FeatureSet, SetError
from tests.trainer.corpus_helper import source_of, values, write_set
from tests.trainer.experiment_helper import CLASSES, SMALL, make_cache, make_clips
from trainer.data.corpus import Available, load_available
from trainer.data.features import FeaturesError
from trainer.settings import TrainSettings, load_settings

CLIPS = make_clips(Path("/corpus"), num_clips=11)
LABELS = {clip.id: clip.label or "" for clip in CLIPS}


def settings(*overrides: str) -> TrainSettings:
    return load_settings("icmi19", [*SMALL, *overrides])


def load(cache: Path, *overrides: str) -> Available:
    return load_available(cache, LABELS, settings(*overrides), classes=CLASSES)


def test_each_clip_without_features_has_its_reason(tmp_path: Path) -> None:
    cache = make_cache(
        tmp_path / "cache", CLIPS, failed={"c02": "no moov atom"}, never=("c03",), silent=("c05",)
    )
    found = load(cache)
    assert list(found.without) == ["c02", "c03"]
    assert found.without["c02"] == "failed (decode): no moov atom"
    assert found.without["c03"].startswith("never extracted into resnet18-")
    assert found.partial == {"c05": "audio: no audio stream"}
    assert "c03" not in found.corpus.clip_ids
    assert found.corpus.classes == CLASSES


def test_a_clip_is_without_features_only_if_the_head_can_use_none(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache", CLIPS, silent=("c05",))
    assert load(cache, "fusion.kind=audio").without == {"c05": "no audio stream"}
    assert load(cache, "fusion.kind=video").without == {}
    assert load(cache, "fusion.kind=video").partial == {}


def test_a_clip_that_lacks_each_modality_for_another_reason_has_both(tmp_path: Path) -> None:
    write_set(tmp_path / "cache", "lips", {c: {"basic": values(3, 5)} for c in LABELS})
    sound = {c: {"spectrogram": values(80, 200)} for c in LABELS}
    write_set(tmp_path / "cache", "voice", sound)
    faces = FeatureSet.open(next((tmp_path / "cache").glob("lips-*")))
    faces.entry_path("c02").unlink()
    faces.record_failure(Failure("c02", "faces", "too dark"))
    voice = FeatureSet.open(next((tmp_path / "cache").glob("voice-*")))
    with voice.writer("c02", source=source_of("c02"), provenance={}) as writer:
        writer.append(times=np.zeros(0), spectrogram=values(0, 200))
        writer.finish()
    found = load(tmp_path / "cache", "video.set=lips", "audio.set=voice")
    assert found.without == {"c02": "video: failed (faces): too dark; audio: it has no steps"}


def test_a_clip_that_failed_in_one_modality_is_partial(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache", CLIPS, never=("c02",))
    failed = {clip: {"basic": values(3, 5)} for clip in LABELS} | {"c02": "no face at all"}
    write_set(tmp_path / "cache", "ir50", failed)
    cache_sound = {clip: {"spectrogram": values(80, 200)} for clip in LABELS}
    write_set(tmp_path / "cache", "sound", cache_sound)
    found = load(cache, "video.set=ir50", "audio.set=sound")
    assert found.without == {}
    assert found.partial == {"c02": "video: failed (decode): no face at all"}


def test_the_sets_and_those_they_are_built_on_are_described(tmp_path: Path) -> None:
    faces = write_set(tmp_path / "cache", "faces", {"c00": {"box": values(3, 4)}})
    lips = {clip: {"basic": values(3, 5)} for clip in LABELS}
    write_set(tmp_path / "cache", "lips", lips, upstream={"faces": faces.spec.key})
    make_cache(tmp_path / "cache", CLIPS, untrained=True)
    found = load(tmp_path / "cache", "video.set=lips")
    assert [item["name"] for item in found.sets] == ["lips", "spectrogram", "faces"]
    assert found.sets[2]["key"] == faces.spec.key
    assert found.sets[2]["spec"] == faces.spec.to_json()
    assert not found.corpus.untrained
    joined = load(tmp_path / "cache", "fusion.kind=video")
    assert [item["name"] for item in joined.sets] == ["resnet18"]
    assert joined.corpus.untrained


def test_a_set_that_does_not_exist_or_is_ambiguous_is_refused_with_what_there_is(
    tmp_path: Path,
) -> None:
    cache = make_cache(tmp_path / "cache", CLIPS)
    with pytest.raises(SetError, match=r"has no feature set ir50; it has resnet18-.*spectrogram-"):
        load(cache, "video.set=ir50")
    make_cache(tmp_path / "cache", CLIPS, untrained=True)
    with pytest.raises(SetError, match="has 2 sets resnet18; name one of them by more of its key"):
        load(cache)


def test_clips_that_were_never_extracted_at_all_are_refused(tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "cache", [])
    with pytest.raises(FeaturesError, match="all 11 clips were never extracted into resnet18-"):
        load(cache)
