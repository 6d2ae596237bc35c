"""Every file of JSON is as its schema in docs says, and nothing is in it that the schema lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from extractors.networks import NETWORKS
from extractors.weights.default import DEFAULT_FILES, DEFAULT_NETWORK
from pipeline.cli import main
from tests.docs.blocks import avfuse, no_pictures, working_in
from tests.trainer.stills_helper import TINY_OPTIONS, make_ferplus, narrow_spec

jsonschema = pytest.importorskip("jsonschema")
FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
SCHEMAS = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
# log.json is of a stream, and held by the test of --log-json.
OURS = sorted(SCHEMAS.keys() - {"log"})
# Commands whose --json prints what a file holds, or more than the file of their name.
PRINTED = {
    "extract": "extract-report",
    "persons": "persons-report",
    **dict.fromkeys(("evaluate", "train", "ensemble", "finetune"), "metrics"),
}
SWEEP = """
title = "Two cells of which one is trained"
[[cells]]
name = "video"
set = { optim.epochs = 1, fusion.kind = "video" }
[[cells]]
name = "broken"
set = { video.features = "norm_fft", audio.features = "grid" }
"""
TINY = (
    *TINY_OPTIONS,
    "--set=network=narrow",
    "--set=epochs=1",
    "--set=learning_rate=0.01",
    "--set=precision=float32",
)


@pytest.fixture(scope="module")
def written(worked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Every kind of JSON, as the commands write it."""
    folder = tmp_path_factory.mktemp("written") / "work"
    shutil.copytree(worked, folder)

    def say(*words: str) -> Any:
        return json.loads(avfuse(*words).stdout)

    def read(pattern: str) -> list[Any]:
        return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(pattern))]

    with working_in(folder), no_pictures(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "narrow", narrow_spec())
        patch.setattr("cache.entries.source.CLOCK_NS", 0)  # the copies count as seconds old
        make_ferplus(folder / "ferplus")
        Path("sweep.toml").write_text(SWEEP)
        Path("clips/happy/broken.mp4").write_bytes(b"no video")
        rows = Path("manifest.csv").read_text() + "broken,clips/happy/broken.mp4,happy,,\n"
        Path("more.csv").write_text(rows)
        avfuse("extract", "more.csv", "--cache", "CACHE")
        persons = say("persons", "manifest.csv", "--cache", "CACHE", "--json")
        sheets = ("inspect", "faces", "more.csv", "--cache", "CACHE", "-o", "sheets")
        inspected = say(*sheets, "--json")
        pack = ("cache", "pack", "CACHE", "resnet29", "--manifest", "more.csv", "--skip-missing")
        sweep = ("sweep", "sweep.toml", "manifest.csv", "--cache", "CACHE", "-o", "sweep")
        avfuse("ensemble", "runs/first", "runs/other", "-o", "runs/both")
        nested = ("manifest.csv", "--cache", "CACHE", "--folds=speaker:3", "--nested")
        for kind in ("svm", "linear"):
            avfuse(
                "train", *nested, "--run", f"runs/{kind}", "--preset=svm", f"--set=head.kind={kind}"
            )
        avfuse("ensemble", "runs/svm", "runs/linear", "-o", "runs/stack", "--stack")
        shutil.copytree("CACHE", "COPY")
        entry = next(Path("COPY").glob("logmel-*/*/*.h5"))
        entry.write_bytes(b"damage")
        return {
            "run": read("runs/*/run.json"),
            "metrics": [
                *read("runs/*/metrics.json"),
                say("evaluate", "runs/first", "--json"),
                say("finetune", "ferplus", "--run", "stills", *TINY, "--json"),
            ],
            "set": read("CACHE/*/set.json"),
            "extract-report": read("CACHE/extract-report.json"),
            "failure": read("CACHE/*/failures/*.json"),
            "witness": read("CACHE/witnesses/*.json"),
            "persons": read("CACHE/persons.json"),
            "persons-report": [persons],
            "doctor": [say("doctor", "more.csv", "--json")],
            "cache-status": [say("cache", "status", "CACHE", "--manifest", "more.csv", "--json")],
            "compare": [say("compare", "runs/first", "runs/other", "--json")],
            "cache-pack": say(*pack, "--array", "basic", "--json"),
            "cache-verify": [say("cache", "verify", "COPY", "--json")],
            "cache-gc": [say("cache", "gc", "CACHE", "--dry-run", "--json")],
            "cache-merge": [say("cache", "merge", "NEW", "COPY", "--json")],
            "cache-diff": say("cache", "diff", "CACHE", "NEW", "--json"),
            "index": [say("index", "folder", "clips", "-o", "indexed.csv", "--json")],
            "inspect": [inspected],
            "sheets-index": read("sheets/index.json"),
            "sweep": [
                say(*sweep, "--folds", "speaker:3", "--jobs", "1", "--json"),
                *read("sweep/table.json"),
            ],
            "sweep-folder": read("sweep/sweep.json"),
            "weights-list": say("weights", "list", "--json"),
            "weights-check": [
                say("weights", "check", path, "--json")
                for path in (str(DEFAULT_FILES[DEFAULT_NETWORK]), "manifest.csv")
            ],
            "predict": [
                say("predict", "holiday.mp4", "photo.jpg", "--json"),
                say("predict", "runs/first", "holiday.mp4"),
            ],
        }


def commands_with_json(command: click.Command, name: str = "") -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands_with_json(found, f"{name} {below}".strip())
    elif any("--json" in param.opts for param in command.params):
        yield name


def test_every_command_that_prints_json_has_a_schema() -> None:
    names = {
        "index" if name.startswith("index ") else name.removesuffix(" faces")
        for name in commands_with_json(main)
    }
    assert {PRINTED.get(name, name.replace(" ", "-")) for name in names} <= SCHEMAS.keys()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_one_and_has_a_title_and_says_its_version(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["title"]
    assert SCHEMAS[name]["description"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_what_the_commands_write_is_as_its_schema_says(
    name: str, written: dict[str, list[Any]]
) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    assert written[name]
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for value in written[name]
        for error in validator.iter_errors(value)
    ]
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_a_key_that_no_schema_has_or_that_is_missing_is_found(
    name: str, written: dict[str, list[Any]]
) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMAS[name])
    (first, *_) = written[name]
    assert not validator.is_valid({**first, "novelty": 1})
    for key in SCHEMAS[name]["required"]:
        less = {other: value for other, value in first.items() if other != key}
        assert not validator.is_valid(less)
