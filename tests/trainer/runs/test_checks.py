"""What is refused of a run before any head is trained or file written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.manifest import Clip
from tests.trainer.experiment_helper import make_cache, make_clips, make_manifest, train
from trainer.data.folds import SplitError
from trainer.runs import experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prior=afew-test", "prior=afew-test is for the classes angry"),
        ("fusion.kind=late", "optim.stack=on, but these heads can't be trained as one: fusion"),
        ("audio.encoder=cnn", "optim.stack=on, .* audio.encoder=cnn is trained with each head"),
    ],
)
def test_settings_that_would_fail_after_hours_are_refused_at_once(
    tmp_path: Path, override: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "train_fold", lambda *_: pytest.fail("a head was trained"))
    clips = make_clips(tmp_path)
    cache = make_cache(tmp_path / "cache", clips)
    manifest = make_manifest(tmp_path, clips)
    with pytest.raises(ValueError, match=message):
        train(manifest, cache, tmp_path / "run", overrides=["optim.stack=on", override])
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_inner_split_that_a_later_fold_can_not_make_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "train_fold", lambda *_: pytest.fail("a head was trained"))
    # Fold 1 trains on s0 and s1, who have one class each: whoever is held out, one class is left.
    labels = {"s0": "angry", "s1": "sad"}
    clips = [
        Clip(f"c{i}", tmp_path / f"c{i}.mp4", labels.get(name, ("angry", "sad")[i % 2]), None, name)
        for i, name in enumerate(["s0", "s0", "s1", "s1", "s2", "s2", "s3", "s3"])
    ]
    cache = make_cache(tmp_path / "cache", clips)
    manifest = make_manifest(tmp_path, clips)
    with pytest.raises(SplitError, match=r"holding out 0\.5 of 4 training clips leaves only the"):
        train(manifest, cache, tmp_path / "run", overrides=["selection=inner:0.5"])
    assert not (tmp_path / "run" / "run.json").exists()
