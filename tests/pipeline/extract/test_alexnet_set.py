"""Grids of a trained audio encoder as a feature set, through the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from cache.entries.rows import Rows
from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import FeatureSet, find_set
from extractors import alexnet
from pipeline.extract import networks
from pipeline.extract.plan import Plan, plan_sets
from pipeline.extract.weights import EncoderChoiceError, describe_training, find_checkpoint
from tests.pipeline.command import avfuse
from trainer.training.trained import load_checkpoint

QUICK = ("--set", "optim.epochs=1", "--set", "optim.batch_size=3", "--threads", "1")


def train(corpus: Path, cache: Path, run: Path, *args: object) -> Result:
    return avfuse(
        "train", corpus, "--cache", cache, "--preset", "icmi19", "--run", run, *QUICK, *args
    )


@pytest.fixture(scope="module")
def encoder_run(corpus: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("encoder") / "run"
    result = train(corpus, extracted, run, "--set", "fusion.kind=audio")
    if result.exit_code != 0:
        pytest.fail(result.output)
    return run


@pytest.fixture(scope="module")
def cache(
    corpus: Path, extracted: Path, encoder_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The extracted cache with an alexnet set, made in this process."""
    folder = tmp_path_factory.mktemp("grids") / "cache"
    shutil.copytree(extracted, folder)
    result = extract(corpus, folder, encoder_run)
    if result.exit_code != 0:
        pytest.fail(result.output)
    return folder


def extract(corpus: Path, cache: Path, weights: object, *args: object) -> Result:
    command = ["extract", corpus, "--cache", cache, "--sets", "alexnet", "--jobs", 0]
    return avfuse(*command, "--weights", f"alexnet={weights}", *args)


@pytest.mark.slow
def test_grids_come_from_the_cached_spectrograms_without_decoding(
    corpus: Path, cache: Path, encoder_run: Path
) -> None:
    grids = find_set(cache, "alexnet")
    sounds = find_set(cache, "spectrogram")
    assert grids.spec.upstream == {"spectrogram": sounds.spec.key}
    for clip in read_manifest(corpus).clips:
        entry = grids.read(clip.id, verify=True)
        assert entry.state == "ok"
        assert entry.arrays["grid"].shape[1:] == (5, 256)
        assert entry.attributes["lengthened"] is False
    head = load_checkpoint(find_checkpoint(encoder_run))
    assert grids.spec.untrained == head.untrained


@pytest.mark.slow
def test_a_spectrogram_is_read_in_windows_and_a_damaged_one_is_made_again(
    corpus: Path, cache: Path, encoder_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = find_set(cache, "alexnet")
    again = tmp_path / "cache"
    shutil.copytree(find_set(cache, "spectrogram").folder, again / "spectrogram")
    (again / "spectrogram").rename(again / find_set(cache, "spectrogram").folder.name)
    clips = read_manifest(corpus).clips
    path = find_set(again, "spectrogram").entry_path(clips[0].id)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    read: list[int] = []

    def watched(rows: Rows, part: slice) -> np.ndarray:
        values = read_rows(rows, part)
        read.append(values.nbytes)
        return values

    read_rows = Rows.__getitem__
    monkeypatch.setattr(Rows, "__getitem__", watched)
    monkeypatch.setattr(alexnet, "BLOCK", 1)
    assert extract(corpus, again, encoder_run).exit_code == 0
    assert 0 < max(read) <= 4 * 200 * (3 * alexnet.STRIDE + alexnet.REACH)
    for clip in clips:
        one, two = expected.read(clip.id), find_set(again, "alexnet").read(clip.id)
        assert np.allclose(one["grid"], two["grid"], rtol=1e-5, atol=1e-5)
        assert one.attributes == two.attributes


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 9])
def test_grids_are_never_made_from_the_spectrogram_of_another_file(
    times: int,
    corpus: Path,
    cache: Path,
    encoder_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another run with the same clip id may write one, between looking at it and reading it."""
    first, *_, last = read_manifest(corpus).clips
    for name, clip in [("one", first), ("two", last)]:
        (tmp_path / f"{name}.csv").write_text(f"clip,path\n{first.id},{clip.path}\n")
    again = tmp_path / "cache"
    sounds, left = FeatureSet.open_entry, times

    def open_entry(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            command = ["extract", tmp_path / "two.csv", "--cache", again, "--jobs", 0]
            assert avfuse(*command, "--sets", "spectrogram").exit_code == 0
        return sounds(*arguments, **options)

    monkeypatch.setattr(FeatureSet, "open_entry", open_entry)
    result = extract(tmp_path / "one.csv", again, encoder_run)
    if times > 1:  # two runs that go on for ever; nothing is recorded
        assert result.exit_code == 1
        assert f"clip {first.id}: another process replaced its spectrogram" in result.output
        assert find_set(again, "alexnet").failures() == []
        left = 0
        assert extract(tmp_path / "one.csv", again, encoder_run).exit_code == 0
    entry = find_set(again, "alexnet").read(first.id)
    expected = find_set(cache, "alexnet").read(first.id)
    assert np.allclose(entry["grid"], expected["grid"], rtol=1e-5, atol=1e-5)
    assert entry.upstream == {"spectrogram": find_set(again, "spectrogram").read(first.id).identity}


@pytest.mark.slow
def test_an_encoder_lost_for_a_moment_ends_the_run_and_with_it_back_it_goes_on(
    corpus: Path, extracted: Path, encoder_run: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cache = tmp_path / "cache"
    shutil.copytree(extracted, cache)
    checkpoint = find_checkpoint(encoder_run)

    def plan_then_lose(*given: Any, **named: Any) -> Plan:
        made = plan_sets(*given, **named)
        checkpoint.rename(tmp_path / "kept")
        return made

    networks._load_encoder.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.extract.plan.plan_sets", plan_then_lose)
        result = extract(corpus, cache, encoder_run)
    (tmp_path / "kept").rename(checkpoint)
    assert result.exit_code == 1
    assert "Error: the weights of alexnet can't be loaded: " in result.stderr
    assert not list(cache.rglob("failures/*"))
    assert extract(corpus, cache, encoder_run).exit_code == 0


@pytest.mark.slow
def test_a_head_on_the_grids_needs_no_encoder_and_predicts_videos(
    corpus: Path, cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    sets: tuple[str, ...] = ("--set", "audio.set=alexnet", "--set", "audio.encoder=none")
    sets += ("--set", "video.set=resnet18", "--set", "optim.learning_rate=0.01")
    result = train(corpus, cache, run, *sets)
    assert result.exit_code == 0, result.output
    assert "may leak" not in result.output  # the encoder was tested on the same clips
    clip = next(clip for clip in read_manifest(corpus).clips if clip.split == "val")
    result = avfuse("predict", run, clip.path)
    assert result.exit_code == 0, result.output
    (video,) = json.loads(result.stdout)["videos"]
    weights = [step["weight"] for step in video["attention"]["audio"]]
    assert sum(weights) == pytest.approx(1)


@pytest.mark.slow
def test_folds_that_the_encoder_was_not_tested_on_are_warned_of(
    corpus: Path, cache: Path, tmp_path: Path
) -> None:
    sets: tuple[str, ...] = ("--set", "audio.set=alexnet", "--set", "audio.encoder=none")
    sets += ("--set", "fusion.kind=audio", "--folds", "speaker:3")
    result = train(corpus, cache, tmp_path / "run", *sets)
    assert result.exit_code == 0, result.output
    assert "the audio encoder behind alexnet" in result.output
    assert "may leak" in result.output


@pytest.mark.slow
def test_the_provenance_says_which_clips_the_encoder_has_seen(
    cache: Path, encoder_run: Path
) -> None:
    info = json.loads((encoder_run / "run.json").read_text())
    (fold,) = info["plan"]["folds"]
    trained_on = find_set(cache, "alexnet").provenance["trained_on"]
    assert trained_on["train_clips"] == fold["train_clips"]
    assert trained_on["test_clips"] == fold["test_clips"]
    assert trained_on["run"] == str(encoder_run)


@pytest.mark.slow
def test_an_existing_set_is_kept_and_a_checkpoint_is_the_same_as_its_run(
    corpus: Path, cache: Path, encoder_run: Path
) -> None:
    result = extract(corpus, cache, find_checkpoint(encoder_run))
    assert result.exit_code == 0
    assert "9 unchanged" in result.output


@pytest.mark.slow
def test_a_spectrogram_with_other_settings_is_refused(
    corpus: Path, cache: Path, encoder_run: Path
) -> None:
    result = extract(corpus, cache, encoder_run, "--set", "spectrogram.floor=1e-7")
    assert result.exit_code == 2
    assert "was trained on the set spectrogram-" in result.output


@pytest.mark.slow
def test_missing_or_unfit_weights_are_refused(
    corpus: Path, cache: Path, encoder_run: Path, tmp_path: Path
) -> None:
    result = avfuse("extract", corpus, "--cache", cache, "--sets", "alexnet")
    assert result.exit_code == 2
    assert "needs the audio encoder of a trained run" in result.output
    result = extract(corpus, cache, tmp_path / "nothing")
    assert "is neither a checkpoint nor a run folder" in result.output
    np.save(tmp_path / "other.safetensors", np.ones(3))
    assert extract(corpus, cache, tmp_path / "other.safetensors.npy").exit_code == 2


@pytest.mark.slow
def test_a_run_with_several_checkpoints_must_name_one(encoder_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(encoder_run, run)
    (file,) = (run / "checkpoints").iterdir()
    shutil.copy(file, file.with_name("seed-1.safetensors"))
    with pytest.raises(EncoderChoiceError, match="has 2 checkpoints, each trained on other clips"):
        find_checkpoint(run)
    assert find_checkpoint(file) == file
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderChoiceError, match=r"has no checkpoints/\*\.safetensors"):
        find_checkpoint(tmp_path / "empty")


@pytest.mark.slow
def test_a_checkpoint_without_its_run_folder_has_no_known_training(
    encoder_run: Path, tmp_path: Path
) -> None:
    (file,) = (encoder_run / "checkpoints").iterdir()
    assert describe_training(Path(shutil.copy(file, tmp_path / file.name))) is None


@pytest.mark.slow
def test_an_encoder_of_an_imported_set_is_refused(
    corpus: Path, cache: Path, encoder_run: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    from trainer.training.trained import save_checkpoint

    head = load_checkpoint(find_checkpoint(encoder_run))
    path = save_checkpoint(replace(head, features={"audio": "values"}), tmp_path / "c.safetensors")
    result = extract(corpus, cache, path)
    assert result.exit_code == 2
    assert "was trained on values, which can't be made from a video" in result.output
