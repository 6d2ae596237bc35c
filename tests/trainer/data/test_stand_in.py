"""Another face network takes the place of one that a preset names and the cache lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cache.sets.feature_set import FeatureSet, SetSpec
from pipeline.cli import main
from tests.trainer.corpus_helper import values, write_set
from tests.trainer.experiment_helper import SMALL, make_cache, make_clips, make_manifest
from trainer.data.stand_in import replace_absent_network
from trainer.runs.folder import read_run
from trainer.settings import load_settings

FACES = SetSpec("faces", {}, version=1)
OF_FACES = {"faces": FACES.key}


def add_network(cache: Path, name: str, layer: str = "embedding") -> None:
    spec = SetSpec(name, {"views": {}, "layer": layer}, 1, weights="a" * 64, upstream=OF_FACES)
    FeatureSet(cache, spec).create({})


def chosen(cache: Path, preset: str = "icmi19", *overrides: str, file: Path | None = None) -> str:
    settings = load_settings(preset, overrides, file=file)
    settings, notes = replace_absent_network(settings, cache, preset, overrides, file=file)
    assert bool(notes) == (settings.video.set != load_settings(preset, overrides).video.set)
    return settings.video.set


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with one face network and what is no network."""
    folder = tmp_path / "cache"
    FeatureSet(folder, FACES).create({})
    FeatureSet(folder, SetSpec("identity", {}, 1, upstream=OF_FACES)).create({})
    FeatureSet(folder, SetSpec("logmel", {}, 1)).create({})
    add_network(folder, "resnet18")
    return folder


def test_the_only_network_of_the_cache_is_taken_and_it_is_said(cache: Path) -> None:
    settings, notes = replace_absent_network(load_settings("icmi19"), cache, "icmi19")
    assert settings.video.set == "resnet18"
    assert notes == ("the cache has no ir50; video.set=resnet18 instead",)


def test_a_set_that_is_there_stays(cache: Path) -> None:
    assert chosen(cache, "fast") == "resnet18"
    add_network(cache, "ir50")
    assert chosen(cache) == "ir50"


def test_where_several_networks_are_there_none_is_chosen(cache: Path) -> None:
    add_network(cache, "vggface")
    assert chosen(cache) == "ir50"


def test_two_configurations_of_one_network_are_two(cache: Path) -> None:
    add_network(cache, "resnet18", layer="pooled")
    assert chosen(cache) == "ir50"


def test_a_set_that_the_user_named_is_never_replaced(cache: Path, tmp_path: Path) -> None:
    assert chosen(cache, "icmi19", "video.set=ir50") == "ir50"
    file = tmp_path / "mine.toml"
    file.write_text('[video]\nset = "ir50"\n')
    assert chosen(cache, "icmi19", file=file) == "ir50"
    own = tmp_path / "own.toml"
    own.write_text('[fusion]\nkind = "video"\n')
    assert chosen(cache, str(own)) == "ir50"


def test_sound_alone_needs_no_network(cache: Path) -> None:
    assert chosen(cache, "icmi19", "fusion.kind=audio") == "ir50"


def test_the_command_the_run_and_the_report_say_so(tmp_path: Path) -> None:
    clips = make_clips(tmp_path)
    cache = make_cache(tmp_path / "cache", clips)
    (made,) = cache.glob("resnet18-*")
    arrays = {clip.id: {"basic": values(7, 11, seed=i)} for i, clip in enumerate(clips)}
    for path in (made, cache / "packs"):
        if path.exists():
            path.rename(tmp_path / path.name)
    FeatureSet(cache, FACES).create({})
    write_set(cache, "vggface", arrays, settings={"views": {}}, weights="b" * 64, upstream=OF_FACES)
    manifest = make_manifest(tmp_path, clips)
    command = ["train", str(manifest.path), "--cache", str(cache), "--run", str(tmp_path / "run")]
    options = [f"--set={each}" for each in SMALL if not each.startswith("video.set")]
    result = CliRunner().invoke(main, [*command, "--folds", "clip:2", *options])
    assert result.exit_code == 0, result.output
    note = "the cache has no resnet29; video.set=vggface instead"
    assert note in result.stderr
    assert f"warning: {note}" in result.stdout
    run = read_run(tmp_path / "run")
    assert run.info["notes"] == [note]
    assert note in run.metrics["warnings"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["notes"] == [note]
