"""Settings that want to do harm: TOML bombs, and any value, any bytes and any override."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.codec import fields_to_json
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.settings import SettingsError, merge, parse_overrides, read_toml, settings_from
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.media.frames import DecodeSettings
from tests.pipeline.extracting import extract
from tests.pipeline.videos import write_wav
from trainer.settings import format_toml

BOMBS = {
    "nested arrays": "a = " + "[" * 50_000 + "]" * 50_000,
    "nested tables": "a = " + "{a=" * 20_000 + "1" + "}" * 20_000,
    "a long key": ".".join(["a"] * 40_000) + " = 1",
    "a long table": "[" + ".".join(["a"] * 40_000) + "]",
    "a quoted long key": ".".join(['"="'] * 20_000) + " = 1",
    "many long keys": "\n".join(f"a{n}." + ".".join("b" * 900) + " = 1" for n in range(50)),
    "many tables": "\n".join(f"[a.b{number}]" for number in range(12_000)),
    "large": "a = 1\n" * 200_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_toml_bomb_is_refused_in_a_moment(text: str, tmp_path: Path) -> None:
    config = tmp_path / "bomb.toml"
    config.write_text(text)
    path = write_wav(tmp_path / "a.wav", np.ones((1, 999)), 16_000)
    write_manifest(tmp_path / "m.csv", [Clip("a", path)])
    started = time.process_time()
    options = ("--sets", "faces,spectrogram", "--config", str(config))
    result = extract(tmp_path / "m.csv", tmp_path / "cache", *options)
    assert result.exit_code == 2, result.output
    assert time.process_time() - started < 3
    assert not (tmp_path / "cache").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


ODD = st.sampled_from(
    [math.nan, math.inf, -math.inf, 10**400, 2**70, -(2**70), 1e308, 5e-324, -0.0, -1, 0, "\ud800"]
)


def paths(values: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        found.append((*prefix, name))
        if isinstance(value, dict):
            found += paths(value, (*prefix, name))
    return found


DEFAULTS = fields_to_json(StageOneSettings())


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(paths(DEFAULTS)), value=ODD | JSON)
def test_any_value_of_any_setting_is_settings_with_a_key_or_an_error(
    path: tuple[str, ...], value: Any
) -> None:
    values: Any = value
    for name in reversed(path):
        values = {name: values}
    try:
        made = settings_from(StageOneSettings, values)
    except SettingsError:
        return
    asked = ("faces", "spectrogram", "logmel")
    plan = plan_sets(asked, made, {}, cache=Path("/nowhere"), device="cpu")
    assert {planned.name for planned in plan.sets} - {"identity"} == set(asked)
    assert len({planned.spec.key for planned in plan.sets}) == len(plan.sets)
    assert settings_from(StageOneSettings, fields_to_json(made)) == made


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | st.text(alphabet="ab=.[]{}\"'#\n 01-", max_size=80))
def test_any_bytes_are_a_table_or_a_settings_error(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with suppress(SettingsError):
        assert isinstance(read_toml(path), dict)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.text(alphabet="ab=.[]{}\"'#\n 01-é\0", max_size=20), max_size=4))
def test_any_overrides_are_a_table_or_a_settings_error(texts: list[str]) -> None:
    try:
        values = parse_overrides(texts)
    except SettingsError:
        return
    assert merge(values, values) == values
    with pytest.raises(SettingsError, match="unknown setting") if values else nullcontext():
        settings_from(DecodeSettings, values)


NAME = st.from_regex(r"[a-z_]{1,9}", fullmatch=True)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.dictionaries(
        NAME,
        st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.dictionaries(NAME, st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3),
        max_size=5,
    )
)
def test_what_is_written_as_toml_reads_back(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "out.toml"
    path.write_text(format_toml(values), encoding="utf-8")
    assert read_toml(path) == values
