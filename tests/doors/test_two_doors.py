"""Two doors, one result: a command and its call write the same files and say the same in errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cache
import extractors
import pipeline
import trainer
from cache.sets.feature_set import list_sets
from pipeline.cli import main
from tests.doors.conftest import HEAD

SETTINGS = [word for name, value in HEAD.items() for word in ("--set", f"{name}={value}")]
TRAINED = ("config.toml", "entries.csv", "predictions.csv", "metrics.json")


def avfuse(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def identities(folder: Path) -> dict[str, str]:
    """Digests of what the entries of all sets hold, whoever made them and when."""
    return {
        f"{item.folder.name}/{clip}": header.identity
        for item in list_sets(folder)
        for clip, header in item.read_headers(item.clip_ids()).items()
    }


@pytest.mark.slow
def test_training_by_command_and_by_call_gives_the_same_run(at_work: Path, tmp_path: Path) -> None:
    run = trainer.train(
        "manifest.csv",
        cache="CACHE",
        run=tmp_path / "call",
        settings=HEAD,
        folds="speaker:3",
        seeds=2,
    )
    words = ("--cache", "CACHE", "--run", tmp_path / "command", "--folds", "speaker:3")
    result = avfuse("train", "manifest.csv", *words, "--seeds", 2, *SETTINGS, "--json")
    assert result.exit_code == 0, result.output
    names = [
        {str(path.relative_to(folder)) for path in folder.rglob("*")}
        for folder in (tmp_path / "call", tmp_path / "command")
    ]
    assert names[0] == names[1]
    for name in TRAINED:
        call, command = (tmp_path / folder / name for folder in ("call", "command"))
        assert call.read_bytes() == command.read_bytes(), name
    assert json.loads(result.stdout) == run.metrics
    again = avfuse("evaluate", tmp_path / "call", "--json")
    assert json.loads(again.stdout) == trainer.evaluate(run)


@pytest.mark.slow
def test_extracting_by_command_and_by_call_gives_the_same_entries(
    workplace: Path, tmp_path: Path
) -> None:
    manifest = workplace / "few.csv"
    table = (workplace / "manifest.csv").read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join(table[:3]), encoding="utf-8")
    words = ("--sets", "resnet18,logmel", "--views", "basic", "--set", "network.image_size=32")
    done = avfuse(
        *("extract", manifest, "--cache", tmp_path / "command", *words),
        *("--weights", "resnet18=random:3", "--precision", "fp32", "--jobs", 0),
    )
    assert done.exit_code == 0, done.output
    summary = pipeline.extract_features(
        manifest,
        cache=tmp_path / "call",
        sets=["resnet18", "logmel"],
        views="basic",
        settings={"network.image_size": 32},
        weights={"resnet18": "random:3"},
        precision="float32",
        jobs=0,
    )
    found = identities(tmp_path / "call")
    assert len(summary.clips) == 2
    assert len(found) == 2 * len(summary.sets)
    assert found == identities(tmp_path / "command")


@pytest.mark.slow
def test_other_commands_and_calls_write_the_same(at_work: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "command", tmp_path / "call"
    one.mkdir()
    two.mkdir()
    options = {"label_level": 1}
    pipeline.index_corpus(
        "folder", "clips", out=two / "m.csv", options=options, labels={"sad": "low"}
    )
    avfuse("index", "folder", "clips", "-o", one / "m.csv", "--label-level", 1, "--map", "sad=low")
    pipeline.import_features(
        two, "smiles", "smiles.npz", manifest="manifest.csv", format="npz", settings={"rate": 25.0}
    )
    words = ("--from", "npz", "smiles.npz", "--manifest", "manifest.csv", "--rate", 25)
    avfuse("cache", "import", one, "smiles", *words)
    assert identities(one) == identities(two)
    trainer.ensemble(["runs/first", "runs/self"], two / "both", shares=[2.0, 1.0])
    avfuse("ensemble", "runs/first", "runs/self", "-o", one / "both", "--shares", "2,1")
    pipeline.draw_faces(
        "manifest.csv", cache="CACHE", out=two / "s.html", frames=2, clips=["sad-s1-1"]
    )
    avfuse(
        *("inspect", "faces", "manifest.csv", "--cache", "CACHE", "-o", one / "s.html"),
        *("--frames", 2, "--clip", "sad-s1-1"),
    )
    written = [*(f"both/{name}" for name in ("predictions.csv", "metrics.json")), "m.csv", "s.html"]
    for name in written:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


@pytest.mark.slow
def test_what_commands_print_as_json_is_what_calls_return(at_work: Path) -> None:
    def printed(*words: object) -> Any:
        return json.loads(avfuse(*words, "--json").stdout)

    compared = printed("compare", "runs/mean", "runs/self")
    assert (
        compared
        == {"a": "runs/mean", "b": "runs/self"}
        | trainer.compare("runs/mean", "runs/self").to_json()
    )
    status = cache.open_cache("CACHE").status("manifest.csv")
    told = printed("cache", "status", "CACHE", "--manifest", "manifest.csv")
    assert told == json.loads(json.dumps(status.to_json(), default=dict))
    doctor = pipeline.diagnose_corpus("manifest.csv", sample=2, jobs=0)
    words = ("--sample", 2, "--jobs", 0)
    assert printed("doctor", "manifest.csv", *words) == json.loads(json.dumps(doctor.to_json()))
    assert printed("predict", "holiday.mp4") == json.loads(
        json.dumps(pipeline.predict_videos("holiday.mp4"))
    )


TRAIN = ("train", "manifest.csv", "--cache", "CACHE", "--run", "r")
WRONG: dict[str, tuple[tuple[object, ...], Callable[[], object]]] = {
    "a manifest that isn't there": (
        ("train", "gone.csv", "--cache", "CACHE", "--run", "r"),
        lambda: trainer.train("gone.csv", cache="CACHE", run="r"),
    ),
    "an unknown setting": (
        (*TRAIN, "--set", "video.atention=self"),
        lambda: trainer.train(
            "manifest.csv", cache="CACHE", run="r", settings={"video.atention": "self"}
        ),
    ),
    "folds and a split": (
        *[
            (
                "train",
                "manifest.csv",
                "--cache",
                "CACHE",
                "--run",
                "r",
                "--folds",
                "clip:2",
                "--split",
                "val",
            )
        ],
        lambda: trainer.train("manifest.csv", cache="CACHE", run="r", folds="clip:2", split="val"),
    ),
    "a set that the cache lacks": (
        (*TRAIN, "--set", "video.set=ir50"),
        lambda: trainer.train(
            "manifest.csv", cache="CACHE", run="r", settings={"video.set": "ir50"}
        ),
    ),
    "a cache that isn't there": (
        ("sweep", "poolings.toml", "manifest.csv", "--cache", "gone", "-o", "s"),
        lambda: trainer.sweep("poolings.toml", "manifest.csv", cache="gone", out="s"),
    ),
    "an unknown set": (
        ("extract", "manifest.csv", "--cache", "new", "--sets", "resnet81"),
        lambda: pipeline.extract_features("manifest.csv", cache="new", sets=["resnet81"]),
    ),
    "a network without weights": (
        ("extract", "manifest.csv", "--cache", "new", "--sets", "ir50"),
        lambda: pipeline.extract_features("manifest.csv", cache="new", sets=["ir50"]),
    ),
    "a manifest that exists": (
        ("index", "folder", "clips", "-o", "manifest.csv"),
        lambda: pipeline.index_corpus("folder", "clips", out="manifest.csv"),
    ),
    "a clip that the manifest lacks": (
        ("inspect", "faces", "manifest.csv", "--cache", "CACHE", "-o", "s", "--clip", "sad"),
        lambda: pipeline.draw_faces("manifest.csv", cache="CACHE", out="s", clips=["sad"]),
    ),
    "a run that isn't there": (
        ("compare", "runs/gone", "runs/self"),
        lambda: trainer.compare("runs/gone", "runs/self"),
    ),
    "a set without identities": (
        ("persons", "manifest.csv", "logmel", "--cache", "CACHE"),
        lambda: pipeline.find_persons("manifest.csv", cache="CACHE", name="logmel"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_a_call_refuses_with_the_sentence_of_its_command(what: str, at_work: Path) -> None:
    words, call = WRONG[what]
    result = avfuse(*words)
    assert result.exit_code == 2
    with pytest.raises((ValueError, OSError)) as caught:
        call()
    assert str(caught.value) in result.stderr
    assert {"r", "s", "new"} & set(os.listdir()) == set()  # noqa: PTH208 - names alone


@pytest.mark.slow
def test_a_call_is_quiet_unless_asked(at_work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {"cache": "CACHE", "settings": HEAD, "overwrite": True}
    trainer.train("manifest.csv", run="runs/quiet", **arguments)
    pipeline.extract_features("manifest.csv", cache="CACHE", sets=["logmel"], jobs=0)
    assert capfd.readouterr() == ("", "")
    trainer.train("manifest.csv", run="runs/quiet", progress=True, **arguments)
    said = capfd.readouterr()
    assert said.out == ""
    assert "training 1 head of at most 3 epochs" in said.err


@pytest.mark.slow
def test_ctrl_c_is_a_keyboard_interrupt_and_keeps_what_was_done(
    workplace: Path, tmp_path: Path
) -> None:
    """A script's own handling of Ctrl-C goes on after the call."""
    code = (
        "import pipeline, signal, sys\n"
        # A shell that starts the tests in the background lets them ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n"
        "    pipeline.extract_features(sys.argv[1], cache=sys.argv[2], sets=['logmel', 'resnet18'],"
        " jobs=0, progress=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('handled')\n"
    )
    cache_ = tmp_path / "cache"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workplace / "manifest.csv"), str(cache_)],
        stdout=subprocess.PIPE,
        text=True,
    ) as script:
        while script.poll() is None and not list(cache_.glob("logmel-*/*/*.h5")):
            pass
        script.send_signal(signal.SIGINT)
        out, _ = script.communicate(timeout=60)
    assert (script.returncode, out) == (0, "handled\n")
    assert 1 <= len(cache.open_cache(cache_).clips("logmel")) < 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda **of: trainer.train(**of, seeds=0), "seeds must be a whole number from 1 on"),
        (lambda **of: trainer.train(**of, seeds="2"), "seeds must be .* got '2'"),
        (lambda **of: trainer.train(**of, threads=-1), "threads must be a whole number from 1 on"),
        (lambda **of: trainer.train(**of, settings="a"), "'a' is not a setting"),
        (lambda **of: trainer.train(**of, train_on="tset", split="val"), "got 'tset'"),
    ],
)
def test_a_wrong_argument_of_train_is_refused_before_there_is_a_run(
    call: Callable[..., object], message: str, at_work: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        call(manifest="manifest.csv", cache="CACHE", run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_wrong_word_or_count_is_refused_not_overheard(at_work: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = cache.open_cache("CACHE")
    calls: dict[str, Callable[[], object]] = {
        "trust must be one of stat, content, got 'size'": lambda: pipeline.extract_features(
            "manifest.csv",
            cache=out,
            trust="size",  # type: ignore[arg-type]
        ),
        "batch_size must be a whole number from 1 on, got 0": lambda: pipeline.extract_features(
            "manifest.csv", cache=out, batch_size=0
        ),
        "projection must be one of pca, tsne, none, got 'umap'": lambda: pipeline.write_report(
            "runs/first",
            out,
            projection="umap",  # type: ignore[arg-type]
        ),
        "needs at least one run, got none": lambda: pipeline.write_report([], out),
        "only must be one of no-face, .* got 'faceless'": lambda: pipeline.draw_faces(
            "manifest.csv", cache="CACHE", out=out, only="faceless"
        ),
        "jobs must be a whole number from 1 on, got 0": lambda: found.verify(jobs=0),
        "no recipe 'foldr'; did you mean 'folder'": lambda: pipeline.index_corpus(
            "foldr", "clips", out=out
        ),
        "threads must be a whole number from 1 on, got 0": lambda: pipeline.finetune(
            "stills", run=out, threads=0
        ),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message):
            call()
    assert not out.exists()


@pytest.mark.slow
def test_one_name_alone_is_a_list_of_one(at_work: Path, tmp_path: Path) -> None:
    (clip,) = cache.open_cache("CACHE").features("resnet29", "sad-s1-1")
    sets = {"video": "resnet29"}
    dataset = trainer.Dataset("manifest.csv", cache="CACHE", sets=sets, clips=clip)
    assert dataset.clip_ids == (clip,)
    assert list(trainer.explain_run("runs/self", "sad-s3-1")) == ["sad-s3-1"]
    assert cache.open_cache("CACHE").verify("resnet29").damage == ()
    runs = [trainer.read_run("runs/first"), "runs/self"]
    assert trainer.ensemble(runs, tmp_path / "both").info["kind"] == "ensemble"


@pytest.mark.slow
def test_what_a_notebook_shows_of_a_result_is_a_line(at_work: Path) -> None:
    """The last line of a cell is shown; all that a run's files say would fill pages."""
    sets = {"video": "resnet29"}
    shown = {
        "Run('runs/first', 3 clips)": trainer.read_run("runs/first"),
        "Dataset(9 clips, video (256,))": trainer.Dataset("manifest.csv", cache="CACHE", sets=sets),
        f"Manifest('{at_work}/manifest.csv', 9 clips)": cache.read_manifest("manifest.csv"),
        "Embedder('resnet29', dim=256)": extractors.load_network("resnet29"),
        "Summary(faces, identity, resnet29, 9 ok)": pipeline.extract_features(
            "manifest.csv", cache="CACHE", sets=["identity", "resnet29"], views="basic", jobs=0
        ),
    }
    assert {repr(found): expected for expected, found in shown.items()} == {
        expected: expected for expected in shown
    }
    clip = cache.open_cache("CACHE").features("resnet29", "sad-s1-1", array="basic")["sad-s1-1"]
    steps = len(clip.times)
    assert repr(clip) == f"ClipFeatures({steps} steps, basic ({steps}, 256), ok)"
    with pytest.raises(KeyError, match="no array 'mean'; there are basic"):
        clip["mean"]
