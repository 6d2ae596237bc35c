"""Exactly what depends on a setting or an algorithm is computed again, one at a time.

The settings are enumerated, not listed: a new one is tested by existing. One that these tests can't
change by themselves, or whose table they don't know, fails them until it is added here.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any, Literal

import pytest

import pipeline.extract.plan
from cache.settings import SettingsError
from pipeline.extract.settings import StageOneSettings
from tests.pipeline.watched_corpus import Corpus, make_corpus, settings_with

pytestmark = pytest.mark.usefixtures("networks_built_once")

# Which sets each table of settings can change; what is in none can change no number.
DEPENDENTS: dict[str, frozenset[str]] = {
    "faces": frozenset({"faces", "identity", "resnet18"}),
    "faces.ladder": frozenset({"faces", "resnet18"}),  # the papers' has no identity
    "faces.policy": frozenset({"resnet18"}),  # the choice is made when crops are
    "faces.switch_seconds": frozenset({"resnet18"}),
    "crops": frozenset({"resnet18"}),
    # Only weights that state their framing change; see tests/pipeline/predict/test_by_default.py.
    "crops.framing": frozenset(),
    "network": frozenset({"resnet18"}),
    "spectrogram": frozenset({"spectrogram"}),
    "logmel": frozenset({"logmel"}),
    "voice": frozenset({"voice"}),
    "decode": frozenset(),
    "hang_seconds": frozenset(),
}
# A second detector needs its model.
TESTED_ELSEWHERE = {"faces.second": "tests/pipeline/faces/test_second.py"}
# Another value, where adding a little or taking the next choice gives none that is valid.
OTHER: dict[str, Any] = {
    "faces.policy": "central",
    "network.layer": "pooled",
    "network.colour": "grey",
    "network.views.rotations": [0.0, 3.0],
    "network.views.scales": [1.0, 1.1],
    "network.views.centre": [0.5, 0.25],
    "logmel.preemphasis": 0.5,
}


def leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted name, annotation and value of every setting."""
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hints[field.name], value


NAMES = [name for name, _, _ in leaves(settings_with({})) if name not in TESTED_ELSEWHERE]


def changed(name: str) -> StageOneSettings:
    """The settings with another valid value of one of them."""
    hint, value = next((h, v) for n, h, v in leaves(settings_with({})) if n == name)
    if name in OTHER:
        candidates = [OTHER[name]]
    elif typing.get_origin(hint) is Literal:
        candidates = [choice for choice in typing.get_args(hint) if choice != value]
    elif isinstance(value, bool):
        candidates = [not value]
    elif isinstance(value, int):
        candidates = [value + 1, value - 1]
    elif isinstance(value, float):
        candidates = [value * 1.25, value * 0.8, value + 0.25]
    else:
        candidates = []
    for candidate in candidates:
        values: Any = candidate
        for part in reversed(name.split(".")):
            values = {part: values}
        try:
            settings = settings_with(values)
        except SettingsError:
            continue
        if settings != settings_with({}):
            return settings
    return pytest.fail(f"these tests know no other value of {name}: add one to OTHER")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same, for tests that change neither its files nor its entries."""
    made = make_corpus(tmp_path_factory.mktemp("corpus"))
    made.extract(made.plan())
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_value_of_a_setting_recomputes_exactly_what_depends_on_it(
    name: str, shared: Corpus
) -> None:
    table = name.split(".")[0]
    assert table in DEPENDENTS, f"which sets depend on {table}? add it to DEPENDENTS"
    dependents = DEPENDENTS.get(name, DEPENDENTS[table])
    assert shared.extract(shared.plan(changed(name))) == shared.both(dependents)
    assert shared.extract(shared.plan()) == set()  # what was there is still there


@pytest.mark.parametrize(
    ("version", "dependents"),
    [
        ("faces", {"faces", "identity", "resnet18"}),
        ("identity", {"faces", "identity"}),  # made in one pass; the same faces, so no network
        ("network", {"resnet18"}),
        ("spectrogram", {"spectrogram"}),
        ("logmel", {"logmel"}),
        ("voice", {"voice"}),
    ],
)
def test_another_algorithm_version_recomputes_exactly_what_depends_on_it(
    version: str, dependents: set[str], shared: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = pipeline.extract.plan.ALGORITHM_VERSIONS
    monkeypatch.setitem(versions, version, versions[version] + 1)
    assert shared.extract(shared.plan()) == shared.both(frozenset(dependents))


def test_every_algorithm_version_is_tested_here() -> None:
    tested = {"faces", "identity", "network", "spectrogram", "logmel", "voice"}
    untested = {"alexnet"}  # made from a trained run: tests/pipeline/extract/test_alexnet_set.py
    assert set(pipeline.extract.plan.ALGORITHM_VERSIONS) <= tested | untested
