"""The plug-in that people copy: installed by pip, used by the command line, updated and removed."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache.sets.feature_set import list_sets
from extractors.plugins import CORPORA, ENCODERS, NETWORKS, POOLINGS
from pipeline.doctor.doctor import find_plugin_problems
from pipeline.extract.networks import load_here
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import parse_weights
from pipeline.workers.error import MachineError
from tests.pipeline.command import avfuse
from tests.plugin_dists import install

ROOT = Path(__file__).parent.parent.parent
CLIPS = ROOT / "tests" / "golden" / "corpus"
SETTINGS = {
    "video.set": "tinynet",
    "video.attention": "energy",
    "audio.set": "logmel",
    "audio.features": "auto",
    "audio.encoder": "patches",
    "audio.attention": "energy",
    "optim.epochs": "2",
}


class Work:
    """A folder with the example installed in it, a corpus, and what avfuse made of it."""

    def __init__(self, folder: Path) -> None:
        self.site, self.cache, self.run = folder / "site", folder / "cache", folder / "run"
        self.manifest, self.weights = folder / "m.csv", folder / "tinynet.safetensors"
        self.corpus = folder / "corpus"
        self.extract = (
            *("extract", self.manifest, "--cache", self.cache, "--sets", "tinynet,logmel"),
            *("--weights", f"tinynet={self.weights}", "--views", "basic"),
        )
        given = [f"{key}={value}" for key, value in SETTINGS.items()]
        self.settings = [word for one in given for word in ("--set", one)]
        self.train = ("train", self.manifest, "--cache", self.cache, "--folds", "clip:2")

    def call(self, *words: object, python: bool = False) -> str:
        """Call the command line, or a script, in a process that has the example on its path."""
        command = [sys.executable, *(() if python else ("-m", "pipeline")), *map(str, words)]
        path = os.pathsep.join([str(self.site), str(ROOT)])
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            cwd=self.corpus.parent,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def update(self, folder: Path) -> Path:
        """Return a folder with the same code as another version, as an update would leave it."""
        shutil.copytree(self.site, folder)
        (facts,) = folder.glob("*.dist-info")
        text = (facts / "METADATA").read_text()
        (facts / "METADATA").write_text(text.replace("Version: 0.1.0", "Version: 0.2.0"))
        return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """The example, used: indexed, extracted by another process, trained and predicted."""
    pytest.importorskip("setuptools", reason="pip builds the example with it, and fetches nothing")
    made = Work(tmp_path_factory.mktemp("plugin"))
    source = made.site.parent / "source"
    shutil.copytree(ROOT / "examples" / "plugin", source)  # the build writes beside the source
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    for path in CLIPS.glob("*/*-s*.mp4"):
        label, speaker, take = path.stem.split("-")
        (made.corpus / speaker).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, made.corpus / speaker / f"{label}_{take}.mp4")
    made.call(*pip, "--target", made.site, source, python=True)
    # A worker loads the example anew, as ``predict`` does below; the rest is quicker in here.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made.site)
        patch.setattr(sys, "argv", ["make_weights.py", str(made.weights)])
        runpy.run_path(str(source / "make_weights.py"), run_name="__main__")
        for words in (
            ("index", "speaker-folders", made.corpus, "-o", made.manifest),
            (*made.extract, "--jobs", "1"),
            (*made.train, "--run", made.run, *made.settings),
        ):
            done = avfuse(*words)
            assert done.exit_code == 0, done.output
    yield made
    shutil.rmtree(made.site.parent)


@pytest.fixture
def used(work: Work, monkeypatch: pytest.MonkeyPatch) -> Work:
    """The same, with the example on the path of this process."""
    monkeypatch.syspath_prepend(work.site)
    return work


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.slow
def test_the_example_is_used_from_index_to_predict(work: Work) -> None:
    assert "s1--happy_1" in work.manifest.read_text()
    spec = {one.spec.name: one.spec for one in list_sets(work.cache)}["tinynet"]
    assert spec.plugin == "avfuse-example 0.1.0"
    info = read(work.run / "run.json")
    assert [(one["group"], one["name"], one["version"]) for one in info["plugins"]] == [
        (POOLINGS, "energy", "0.1.0"),
        (ENCODERS, "patches", "0.1.0"),
    ]
    answer = json.loads(
        work.call("predict", work.run, work.corpus / "s1" / "happy_1.mp4", "--json")
    )
    attention = answer["videos"][0]["attention"]
    assert sum(step["weight"] for step in attention["audio"]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_what_lists_networks_and_sets_names_the_plugin(used: Work) -> None:
    assert "of the plug-in avfuse-example 0.1.0" in avfuse("weights", "list").output
    assert "is tinynet: every parameter matches" in avfuse("weights", "check", used.weights).output
    status = avfuse("cache", "status", used.cache)
    assert "made by the plug-in avfuse-example 0.1.0" in status.output


@pytest.mark.slow
def test_another_version_makes_another_set_and_refuses_the_run(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(work.update(tmp_path / "site"))
    video = work.corpus / "s1" / "happy_1.mp4"
    refused = avfuse("predict", work.run, video)
    assert refused.exit_code == 2
    assert "plug-in avfuse-example 0.1.0, and here is the pooling energy of" in refused.output
    other = avfuse(*work.train, "--run", work.run, *work.settings)
    assert other.exit_code == 2
    assert "different plug-ins" in other.output
    cache = tmp_path / "cache"
    shutil.copytree(work.cache, cache)
    words = [cache if word == work.cache else word for word in work.extract]
    assert avfuse(*words, "--jobs", "0").exit_code == 0
    made = [one.spec for one in list_sets(cache) if one.spec.name == "tinynet"]
    assert sorted(one.plugin for one in made) == ["avfuse-example 0.1.0", "avfuse-example 0.2.0"]
    assert made[0].upstream == made[1].upstream
    assert len({one.spec.key for one in list_sets(cache) if one.spec.name == "logmel"}) == 1


@pytest.mark.slow
def test_without_the_plugin_what_needs_it_says_so_and_the_rest_works(
    work: Work, tmp_path: Path
) -> None:
    video = work.corpus / "s1" / "happy_1.mp4"
    refused = avfuse("predict", work.run, video)
    assert refused.exit_code == 2
    assert "avfuse-example 0.1.0, which is not installed here; install" in refused.output
    assert "no set 'tinynet'" in avfuse(*work.extract).output
    assert "No such command 'speaker-folders'" in avfuse("index", "speaker-folders", video).output
    other = avfuse(*work.train, "--run", tmp_path / "a", *work.settings)
    assert "attention must be one of mean," in other.output
    assert avfuse("evaluate", work.run).exit_code == 0
    # The features stand for themselves.
    words = ("--set", "video.set=tinynet", "--set", "fusion.kind=video", "--set", "optim.epochs=1")
    trained = avfuse(*work.train, "--run", tmp_path / "b", *words)
    assert trained.exit_code == 0, trained.output
    assert "plugins" not in read(tmp_path / "b" / "run.json")
    by_set = avfuse("predict", tmp_path / "b", video)
    assert by_set.exit_code == 2
    assert (
        "trained on needs the network tinynet of the plug-in avfuse-example 0.1.0" in by_set.output
    )


@pytest.mark.slow
def test_a_plugin_that_raises_is_named_and_stops_nothing_else(
    used: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = {NETWORKS: {"bad": "X"}, CORPORA: {"bad-corpus": "X"}, POOLINGS: {"worse": "X"}}
    install(tmp_path / "site", "broken", "raise RuntimeError('not today')", everything)
    monkeypatch.syspath_prepend(tmp_path / "site")
    problems = list(find_plugin_problems())
    assert len(problems) == 3
    assert all("of the plug-in broken 1 can't be loaded" in problem for problem in problems)
    listed = avfuse("weights", "list")
    assert listed.exit_code == 0
    assert "RuntimeError: not today" in listed.output
    assert "tinynet" in listed.output
    looked = avfuse("doctor", used.manifest, "--sample", "0", "--jobs", "0", "--json")
    kinds = [finding["kind"] for finding in json.loads(looked.output)["findings"]]
    assert kinds.count("plug-in") == 3
    video = ("--set", "video.set=tinynet", "--set", "fusion.kind=video", "--set", "optim.epochs=1")
    assert avfuse(*used.train, "--run", tmp_path / "a", *video).exit_code == 0
    bad = ("--sets", "bad", "--weights", "bad=random")
    for command in (
        ("index", "bad-corpus", used.corpus, "-o", tmp_path / "m.csv"),
        ("extract", used.manifest, "--cache", tmp_path, *bad),
        (*used.train, "--run", tmp_path / "b", *video, "--set", "video.attention=worse"),
    ):
        refused = avfuse(*command)
        assert refused.exit_code == 2, refused.output
        assert "RuntimeError: not today; repair it, or uninstall it" in refused.output
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_worker_with_another_version_than_the_plans_refuses_to_work(
    used: Work, tmp_path: Path
) -> None:
    choices = parse_weights([f"tinynet={used.weights}"])
    plan = plan_sets(["tinynet"], StageOneSettings(), choices, cache=tmp_path, device="cpu")
    planned = plan.sets[-1]
    assert load_here(planned, plan).dim == 16
    facts = {"distribution": "avfuse-example", "version": "0.0.9"}
    spec = replace(planned.spec, settings={**planned.spec.settings, "plugin": facts})
    with pytest.raises(MachineError, match=r"avfuse-example 0\.0\.9, and here is the network"):
        load_here(replace(planned, spec=spec), plan)


CORPUS = """
def index(root, *, follow_links=False):
    {}
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "raise KeyError('happy')",
            "corpus mine of the plug-in a 1 fails on .*: KeyError: 'happy'",
        ),
        ("return []", "corpus mine of the plug-in a 1 must return a .*Found, got list"),
    ],
)
def test_a_recipe_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    install(tmp_path / "site", "a", CORPUS.format(line), {CORPORA: {"mine": "index"}})
    monkeypatch.syspath_prepend(tmp_path / "site")
    done = avfuse("index", "mine", tmp_path, "-o", tmp_path / "m.csv")
    assert done.exit_code == 2
    assert not (tmp_path / "m.csv").exists()
    assert re.search(told, done.output)
