"""A cache of each layout that was ever written: keys stay, and what was made then is used."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cache.entries import sealed
from cache.entries.entry import read_entry, read_entry_header
from cache.entries.trust import UPSTREAM_UNKNOWN
from cache.packs.pack import find_packs
from cache.sets.feature_set import list_sets
from pipeline.cli import main

GOLDEN = Path(__file__).parent / "golden"
KEYS: dict[str, list[str]] = json.loads((GOLDEN / "keys.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Layout:
    """One golden cache, and what this version thinks of it.

    Args:
        number: of the layout.
        manifest: the table of its clips.
        options: of the ``extract`` that made it.
        sets: its sets; each has an entry of all clips but ``empty``, which failed.
        made_again: those whose entries this version doesn't trust, and why.
        superseded: those that this version makes otherwise, in sets of other keys.
        packs: number of packs that are used as they are.
    """

    number: int
    manifest: str
    options: tuple[str, ...]
    sets: tuple[str, ...]
    made_again: dict[str, str]
    superseded: tuple[str, ...]
    packs: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"layout-{self.number}"


LAYOUTS = [
    Layout(
        1,
        "manifest.csv",
        (),
        ("faces", "logmel", "resnet18", "spectrogram"),
        # Nothing says from which faces they were made.
        {"resnet18": UPSTREAM_UNKNOWN.format(name="faces")},
        superseded=("faces", "identity", "resnet18"),
        packs=0,
    ),
    Layout(
        2,
        "few.csv",
        ("--views", "basic"),
        ("faces", "identity", "logmel", "resnet18"),
        {},
        superseded=(),
        packs=2,
    ),
]
every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the corpus and the caches. Copied clips have other times than recorded."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


def avfuse(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def read_probabilities(run: Path) -> dict[str, list[float]]:
    """Probabilities of happy and sad of each clip that a run reports on."""
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        return {
            row["clip"]: [float(row["p_happy"]), float(row["p_sad"])]
            for row in csv.DictReader(file)
        }


def test_every_layout_that_is_read_has_a_golden_cache() -> None:
    folders = {path.name for path in GOLDEN.glob("layout-*")}
    assert {layout.name for layout in LAYOUTS} == folders
    assert {layout.number for layout in LAYOUTS} == set(sealed._READABLE["entry"])
    assert max(layout.number for layout in LAYOUTS) == sealed.LAYOUT


@every_layout
def test_a_golden_cache_is_of_its_layout_and_whole(layout: Layout, golden: Path) -> None:
    cache = golden / layout.name / "cache"
    for feature_set in list_sets(cache):
        stated = json.loads((feature_set.folder / "set.json").read_text())["layout"]
        headers = [read_entry_header(path) for path in feature_set.entry_paths()]
        assert {stated, *(header.seal.layout for header in headers)} == {layout.number}
    assert len(find_packs(cache)) == layout.packs
    code, output = avfuse("cache", "verify", cache, "--json")
    assert code == 0, output
    report = json.loads(output)
    assert (report["damage"], report["stale_packs"]) == ([], {})
    clips = (golden / "corpus" / layout.manifest).read_text().splitlines()[1:]
    assert report["entries"] == len(layout.sets) * (len(clips) - 1)
    assert report["failures"] == len(layout.sets)


@every_layout
def test_status_finds_nothing_stale_and_counts_what_it_cannot_know(
    layout: Layout, golden: Path
) -> None:
    manifest = golden / "corpus" / layout.manifest
    cache = golden / layout.name / "cache"
    code, output = avfuse("cache", "status", cache, "--manifest", manifest, "--json")
    assert code == 1, output  # the empty file
    for found in json.loads(output)["sets"]:
        counts = found["manifest"]
        done = counts["clips"] - 1
        assert (counts["done"], counts["stale"], counts["failed"]) == (done, 0, 1)
        assert counts["unchecked"] == (done if found["name"] in layout.made_again else 0)


@pytest.mark.slow
@every_layout
def test_extraction_goes_on_in_a_cache_of_then_and_makes_again_what_is_not_trusted(
    layout: Layout, golden: Path
) -> None:
    cache = golden / layout.name / "cache"
    manifest = golden / "corpus" / "few.csv"
    before = {path: (path.read_bytes(), read_entry(path)) for path in cache.glob("*-*/*/*.h5")}
    code, output = avfuse(
        *("extract", manifest, "--cache", cache, "--sets", ",".join(layout.sets)),
        *(*layout.options, "--jobs", 0),
    )
    assert code == 1, output  # the empty file
    report: dict[str, Any] = json.loads((cache / "extract-report.json").read_text())
    results = [(c["clip"], n, s) for c in report["clips"] for n, s in c["sets"].items()]
    clips = len({clip for clip, _, _ in results} - {"empty"})
    asked = {*layout.sets, "identity"}  # comes with faces
    remade = {name: why for name, why in layout.made_again.items() if name not in layout.superseded}
    whys = {f"{name}: {why}": clips for name, why in remade.items()}
    assert report["again"] == whys
    assert all(f"made again in {clips} clips: {why}" in output for why in whys)
    failed = {(clip, name) for clip, name, result in results if result["state"] == "failed"}
    assert failed == {("empty", name) for name in asked}
    whole = [(name, result["fresh"]) for clip, name, result in results if clip != "empty"]
    assert {name for name, fresh in whole if fresh} == {*remade, *layout.superseded}
    assert {name for name, fresh in whole if not fresh} == asked - {*remade, *layout.superseded}
    for path, (content, entry) in before.items():
        if read_entry_header(path).seal.layout != layout.number:
            assert path.parent.parent.name.partition("-")[0] in remade
            again = read_entry(path, verify=True)
            assert again.arrays.keys() == entry.arrays.keys()
            for name, array in entry.arrays.items():
                np.testing.assert_allclose(again[name], array, rtol=1e-4, atol=1e-4)
        else:
            assert path.read_bytes() == content
    code, output = avfuse("cache", "verify", cache)
    assert code == 0, output


@pytest.mark.slow
@every_layout
def test_heads_are_trained_and_evaluated_on_a_cache_of_then(
    layout: Layout, golden: Path, tmp_path: Path
) -> None:
    cache = golden / layout.name / "cache"
    before = {path: path.read_bytes() for path in cache.rglob("*.h5")}
    code, output = avfuse(
        *(
            "train",
            golden / "corpus" / layout.manifest,
            "--cache",
            cache,
            "--run",
            tmp_path / "run",
        ),
        *("--device", "cpu", "--set", "optim.epochs=1"),
    )
    assert code == 0, output
    unchecked = json.loads((tmp_path / "run" / "run.json").read_text())["unchecked"]
    num_clips = sum("empty" not in path.name for path in cache.glob("resnet18-*/*/*.h5"))
    assert unchecked == dict.fromkeys(layout.made_again.values(), num_clips)
    code, output = avfuse("evaluate", tmp_path / "run")
    assert code == 0, output
    assert all(reason in output for reason in layout.made_again.values())
    assert {path: path.read_bytes() for path in before} == before
    assert len(find_packs(cache)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("arguments", KEYS)
def test_the_same_settings_have_the_same_keys(
    arguments: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keys are of every precision, whatever this processor has; nothing is computed here.
    monkeypatch.setattr(
        "torch.cpu.get_capabilities", lambda: {"avx512_bf16": True, "avx512_fp16": True}
    )
    # A manifest of one empty file: sets are made and named, no clip is computed.
    manifest = tmp_path / "empty.csv"
    manifest.write_text("clip,path\nempty,golden/corpus/sad/empty.mp4\n")
    cache = tmp_path / "made"
    code, output = avfuse("extract", manifest, "--cache", cache, "--jobs", 0, *arguments.split())
    assert code == 1, output
    made = {
        f"{spec['name']}-{path.parent.name.rpartition('-')[2]}"
        for path in cache.glob("*/set.json")
        for spec in [json.loads(path.read_text())["spec"]]
    }
    short = {key[: key.rindex("-") + 17] for key in KEYS[arguments]}
    assert made == short


def test_a_training_of_then_is_repeated_on_the_cache_of_then(golden: Path, tmp_path: Path) -> None:
    then = golden / "layout-1" / "run"
    code, output = avfuse(
        *("train", golden / "corpus" / "manifest.csv", "--cache", golden / "layout-1" / "cache"),
        *("--config", then / "config.toml", "--run", tmp_path / "run"),
        *("--seeds", 2, "--device", "cpu", "--threads", 2),
    )
    assert code == 0, output
    infos = (json.loads((run / "run.json").read_text()) for run in (then, tmp_path / "run"))
    assert len({info["identity"] for info in infos}) == 1
    old, new = (read_probabilities(run) for run in (then, tmp_path / "run"))
    assert new.keys() == old.keys()
    for clip, probabilities in old.items():
        assert new[clip] == pytest.approx(probabilities, abs=1e-3)


@pytest.mark.slow
def test_a_run_of_then_is_evaluated_and_reported_and_says_why_it_predicts_nothing_more(
    golden: Path, tmp_path: Path
) -> None:
    run = golden / "layout-1" / "run"
    code, output = avfuse("evaluate", run)
    assert code == 0, output
    assert "50.0 %" in output
    page = tmp_path / "page.html"
    assert avfuse("report", run, "-o", page)[0] == 0
    assert "happy" in page.read_text(encoding="utf-8")
    clip = golden / "corpus" / "happy" / "happy-s3-1.mp4"
    code, output = avfuse("predict", run, clip, "--device", "cpu")
    assert code == 2
    assert "the run was trained on faces of version 5, and this avfuse makes version 6" in output
    assert "extract its clips again and train it again" in output
