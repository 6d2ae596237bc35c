"""How extract is called: weights, options, shards, and how a run ends that can't go on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from cache.entries.entry import verify_entry
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from cache.sets.feature_set import find_set
from extractors.resnet18 import ResNet18
from pipeline.extract.weights import parse_weights
from tests.pipeline.extracting import EXTRACT, entries, extract, write_tone
from tests.pipeline.rights import no_rights
from tests.stopping import stop_when


@pytest.mark.slow
def test_random_weights_warn_and_mark_the_set_untrained(small: Path, tmp_path: Path) -> None:
    result = extract(small, tmp_path / "cache")
    assert "resnet18 has random weights" in result.stderr
    assert "untrained (random weights): resnet18" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--sets", "faces,resnet99"),
            "no set 'resnet99' (did you mean resnet29?); there are faces, identity, ir50",
        ),
        (("--sets", ","), "no set asked for"),
        (("--sets", "ir50"), "ir50 needs weights: pass --weights ir50=FILE"),
        (("--sets", "faces", "--weights", "ir50=random"), "ir50 is not among --sets faces"),
        (("--sets", "ir50", "--weights", "ir50"), "expected NETWORK=FILE, NETWORK=default or"),
        (("--sets", "ir50", "--weights", "ir51=random"), "no network 'ir51'"),
        (("--sets", "ir50", "--weights", "ir50=/no/file.pth"), "/no/file.pth is not a file"),
        (("--sets", "ir50", "--weights", "ir50=random:x"), "the seed must be a whole number"),
        (("--sets", "faces", "--set", "faces.upsampel=2"), "did you mean faces.upsample?"),
        (("--sets", "faces", "--set", "crops=1"), "crops is a group of settings; set one of them"),
        (("--sets", "faces", "--config", "gone.toml"), "gone.toml is not a file; expected a TOML"),
        (("--sets", "faces", "--set", "hang_seconds=0"), "hang_seconds must be above 0"),
        (("--sets", "faces", "--device", "tpu"), "expected auto, cpu, cuda or cuda:N"),
        (("--sets", "faces", "--device", "cuda:99"), "CUDA devices"),
        (("--sets", "faces", "--shard", "3/2"), "expected I/N with I from 1 to N"),
        (
            ("--sets", "ir50", "--weights", "ir50=random", "--set", "network.layer=fc6"),
            "ir50 has the layers embedding, pooled, not 'fc6'",
        ),
        (
            ("--sets", "ir50", "--weights", "ir50=random", "--set", "network.image_size=99"),
            "ir50 takes images of 112 pixels only",
        ),
    ],
)
def test_wrong_use_says_what_was_expected_and_ends_with_2(
    arguments: tuple[str, ...], message: str, small: Path, tmp_path: Path
) -> None:
    result = extract(small, tmp_path / "cache", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "cache").exists()


def test_a_network_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="names ir50 twice"):
        parse_weights(["ir50=random", "ir50=random:2"])


@pytest.mark.slow
def test_weights_of_another_network_are_recognised(small: Path, tmp_path: Path) -> None:
    torch.save(ResNet18().state_dict(), tmp_path / "r.pth")
    result = extract(
        small, tmp_path / "cache", "--sets", "ir50", "--weights", f"ir50={tmp_path / 'r.pth'}"
    )
    assert result.exit_code == 2
    assert "resnet18" in result.output


def test_shards_cut_a_manifest_into_parts_that_together_are_the_whole(
    corpus: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for part in ("1/2", "2/2"):
        extract(corpus, cache, "--sets", "spectrogram", "--shard", part)
    ids = [clip.id for clip in read_manifest(corpus).clips]
    assert find_set(cache, "spectrogram").clip_ids() == sorted(ids)


def test_a_report_takes_the_place_of_an_earlier_one_alone(tmp_path: Path) -> None:
    """It took that of a video, and as root that of /dev/null."""
    write_tone(tmp_path / "tone.wav", 0.5)
    manifest = write_manifest(tmp_path / "m.csv", [Clip("tone", tmp_path / "tone.wav")])
    common = (manifest, tmp_path / "cache", "--sets", "spectrogram")
    (tmp_path / "link").symlink_to(manifest)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "notes.json").write_text('{"sets": 1}')
    before = {path: path.lstat() for path in tmp_path.iterdir()}
    for name in ("m.csv", "link", "tone.wav", "pipe", "notes.json"):
        result = extract(*common, "--out", str(tmp_path / name))
        assert result.exit_code == 2
        assert f"{name} exists and is no report of extract; name another file" in result.stderr
    assert {path: path.lstat() for path in before} == before
    (tmp_path / "report.json").touch()
    for computed in (1, 0):
        result = extract(*common, "--out", str(tmp_path / "report.json"))
        assert f"{computed} computed now" in result.output
        assert json.loads((tmp_path / "report.json").read_text())["states"] == {"ok": 1}


def test_a_cache_that_cannot_be_made_is_refused_before_any_work(enterable: Path) -> None:
    write_tone(enterable / "tone.wav", 0.5)
    write_manifest(enterable / "m.csv", [Clip("tone", enterable / "tone.wav")])
    with no_rights(enterable):
        result = extract(enterable / "m.csv", enterable / "cache", "--sets", "spectrogram")
    assert result.exit_code == 2
    assert f"cache can't be written to {enterable}: " in " ".join(result.stderr.split())
    assert "make the folder writable" in " ".join(result.stderr.split())
    assert not (enterable / "cache").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "jobs", "once"),
    [
        (signal.SIGINT, 130, 0, True),
        (signal.SIGINT, 130, 1, False),
        (signal.SIGTERM, 143, 0, False),
    ],
)
def test_a_signal_ends_a_run_cleanly_and_the_next_one_goes_on(
    number: int, code: int, jobs: int, once: bool, corpus: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = ["extract", str(corpus), "--cache", str(cache), *EXTRACT, "--jobs", str(jobs)]
    ended = stop_when(lambda: len(list(cache.rglob("*.h5"))) >= 4, number, command, once=once)
    assert ended.returncode == code, ended.stderr
    assert "run the same command again to go on" in ended.stdout
    done = [path for path in cache.rglob("*.h5") if not path.name.startswith(".")]
    assert len(done) >= 4
    for path in done:
        verify_entry(path)
    assert not list(cache.rglob("*.tmp"))
    before = entries(cache)
    assert extract(corpus, cache).exit_code == 0
    after = entries(cache)
    assert {path: after[path] for path in before} == before
    assert len(after) == 36
