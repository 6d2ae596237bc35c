"""Plug-ins: listed without an import, loaded when asked for, and named when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extractors.networks import NETWORKS, network_plugin
from extractors.plugins import (
    BUILT_IN,
    CORPORA,
    ENCODERS,
    POOLINGS,
    PluginError,
    check_recorded,
    describe_used,
    find_plugin,
    find_problems,
    read_plugins,
)
from extractors.plugins import NETWORKS as GROUP
from extractors.weights.identify import compare_with_all
from pipeline.commands.index import index
from pipeline.extract.choices import set_names
from pipeline.faces.settings import DETECTORS
from tests.plugin_dists import install
from trainer.attention import POOLINGS as OWN_POOLINGS
from trainer.heads.encoders import REACH

NETWORK = """
from extractors.networks import NetworkSpec
def build():
    from torch import nn
    return nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
def spec(**changes):
    values = dict(name="mine", build=build, image_size=7, layers={"embedding": 5}, source="me",
                  mean=(1.0, 2.0, 3.0), deviation=(1.0, 1.0, 1.0))
    return NetworkSpec(**{**values, **changes})
MINE = spec()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_names_that_are_taken_are_those_of_avfuse() -> None:
    assert sorted(BUILT_IN[GROUP]) == sorted([*set_names(), *DETECTORS])
    assert sorted(BUILT_IN[CORPORA]) == sorted(index.commands)
    assert sorted(BUILT_IN[ENCODERS]) == sorted(["none", *REACH])
    assert sorted(BUILT_IN[POOLINGS]) == sorted([*OWN_POOLINGS, "transformer"])


def test_names_are_listed_without_an_import(site: Path) -> None:
    source = "raise AssertionError('imported')"
    module = install(site, "a-b", source, {GROUP: {"mine": "X"}, CORPORA: {"own": "X"}}, "2.3")
    assert list(read_plugins(GROUP)) == ["mine"]
    assert read_plugins(GROUP)["mine"].facts == {"distribution": "a-b", "version": "2.3"}
    assert "mine" in NETWORKS
    assert [*NETWORKS][-1] == "mine"
    assert "mine" in set_names()
    assert network_plugin("mine") == {"plugin": {"distribution": "a-b", "version": "2.3"}}
    assert network_plugin("ir50") == {}
    assert module not in sys.modules


def test_the_commands_are_listed_without_looking_for_plugins() -> None:
    code = (
        "import sys, importlib.metadata as m\n"
        "real = m.entry_points\n"
        "def refuse(**params):\n"
        "    assert not str(params.get('group', '')).startswith('avfuse'), params\n"
        "    return real(**params)\n"
        "m.entry_points = refuse\n"
        "from pipeline.cli import main\n"
        "main(['--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "extract" in done.stdout


def test_a_network_of_a_plugin_is_a_row_of_the_table(site: Path) -> None:
    install(site, "a", NETWORK, {GROUP: {"mine": "MINE"}})
    assert NETWORKS["mine"].layers == {"embedding": 5}
    assert list(NETWORKS.problems()) == []
    matches = compare_with_all(dict(NETWORKS["mine"].build().state_dict()))
    assert (matches[0].network, matches[0].fits) == ("mine", True)


@pytest.mark.parametrize("raised", ["ImportError('no such library\\n\\x1b[31m')", "SystemExit(3)"])
def test_a_plugin_that_raises_on_import_fails_only_what_asks_for_it(
    site: Path, raised: str
) -> None:
    module = install(site, "a", f"raise {raised}", {GROUP: {"mine": "MINE"}}, "4")
    with pytest.raises(PluginError, match=rf"network mine of the plug-in a 4 can't.*{module}:MINE"):
        NETWORKS["mine"]
    (problem,) = NETWORKS.problems()
    assert raised.partition("(")[0] in problem
    assert problem.isprintable()
    assert problem.endswith("repair it, or uninstall it (pip uninstall a)")
    assert [spec.name for spec in NETWORKS.usable()] == [n for n in NETWORKS if n != "mine"]
    assert NETWORKS["ir50"].image_size == 112


def test_a_missing_attribute_is_a_problem_too(site: Path) -> None:
    install(site, "a", "", {POOLINGS: {"mine": "Absent"}})
    assert "raised AttributeError" in next(find_problems(POOLINGS))


def test_two_plugins_of_one_name_are_both_refused(site: Path) -> None:
    install(site, "a", NETWORK, {GROUP: {"mine": "MINE"}}, "1")
    install(site, "b", NETWORK, {GROUP: {"mine": "MINE"}}, "2")
    with pytest.raises(PluginError, match=r"network mine is offered by [ab] \d and [ab] \d; unin"):
        NETWORKS["mine"]


@pytest.mark.parametrize(
    ("group", "name"),
    [(GROUP, "ir50"), (GROUP, "faces"), (CORPORA, "csv"), (ENCODERS, "cnn"), (POOLINGS, "self")],
)
def test_avfuses_own_wins_over_a_plugin_of_its_name(site: Path, group: str, name: str) -> None:
    install(site, "a", NETWORK, {group: {name: "MINE"}})
    assert name not in read_plugins(group)
    (problem,) = find_problems(group)
    told = f"{name} of the plug-in a 1 is not used: avfuse has its own {name}; the plug-in must"
    assert told in problem
    with pytest.raises(PluginError, match=told):
        find_plugin(group, name)


@pytest.mark.parametrize("name", ["a+b", "a,b", "../up", "-x", "n" * 65, "naïve"])
def test_a_name_with_odd_characters_is_not_offered(site: Path, name: str) -> None:
    install(site, "a", NETWORK, {GROUP: {name: "MINE"}})
    assert name not in NETWORKS
    assert "can't be used: a name has at most 64 letters" in next(NETWORKS.problems())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("MINE = 3", "must be an extractors.networks.NetworkSpec; got 3"),
        ("MINE = spec(name='other')", "its name is 'other', and its entry point's 'mine'"),
        ("MINE = spec(layers={'a': 5, 'b': 5})", "its layers are the one .* pooled; got a, b"),
        ("MINE = spec(layers={})", "got none"),
        ("MINE = spec(image_size=0)", "must be at least 1"),
        ("MINE = spec(deviation=(1.0, 0.0, 1.0))", "those of deviation above 0"),
    ],
)
def test_a_network_of_another_form_is_refused(site: Path, value: str, told: str) -> None:
    install(site, "a", f"{NETWORK}\n{value}", {GROUP: {"mine": "MINE"}})
    with pytest.raises(PluginError, match=told):
        NETWORKS["mine"]
    assert len(list(NETWORKS.problems())) == 1


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (CORPORA, r"must be a function index\(root, \*, follow_links\)"),
        (ENCODERS, r"must be a class of torch modules, built as Encoder\(num_bins, in_channels\)"),
        (POOLINGS, r"must be a class of torch modules, built as Pooling\(dim\)"),
    ],
)
def test_something_else_than_its_group_expects_is_refused(
    site: Path, group: str, told: str
) -> None:
    install(site, "a", "X = 'text'", {group: {"mine": "X"}})
    with pytest.raises(PluginError, match=told):
        find_plugin(group, "mine").load()


def test_what_is_installed_must_be_what_was_recorded(site: Path) -> None:
    module = install(site, "a-b", NETWORK, {GROUP: {"mine": "MINE"}}, "2")
    check_recorded(GROUP, "mine", {"distribution": "a-b", "version": "2"})
    check_recorded(GROUP, "ir50", None)
    with pytest.raises(PluginError, match=r"plug-in a-b 1, and here is the .* a-b 2; install"):
        check_recorded(GROUP, "mine", {"distribution": "a-b", "version": "1"})
    with pytest.raises(PluginError, match="gone of the plug-in c 1, which is not installed"):
        check_recorded(GROUP, "gone", {"distribution": "c", "version": "1"})
    with pytest.raises(PluginError, match="was avfuse's own, and is now the network mine of"):
        check_recorded(GROUP, "mine", None)
    assert module not in sys.modules


def test_a_run_records_the_plugins_it_uses_and_no_others(site: Path) -> None:
    install(site, "a", NETWORK, {POOLINGS: {"mine": "X", "unused": "Y"}}, "2")
    assert describe_used([(POOLINGS, "mine"), (POOLINGS, "mean"), (ENCODERS, "cnn")]) == [
        {"group": POOLINGS, "name": "mine", "distribution": "a", "version": "2"}
    ]
