"""Settings of a run beside those of a preset: the few that differ, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.codec import fields_to_json
from cache.settings import read_toml
from trainer.runs.folder import CONFIG, Run, RunError
from trainer.settings import (
    PRESETS,
    TrainSettings,
    list_toml,
    load_settings,
    settings_from_dict,
)


@dataclass(frozen=True)
class SettingsDiff:
    """Settings of a run, by dotted name, against the preset that they are nearest to.

    Args:
        preset: name of the preset with the fewest settings that differ.
        changed: name -> (the run's value, the preset's), of those that differ.
        rest: name -> value, of all others.
    """

    preset: str
    changed: Mapping[str, tuple[str, str]]
    rest: Mapping[str, str]


def read_settings(run: Run) -> TrainSettings | None:
    """Read the settings that a run was trained with; None of one that was made from others.

    Raises:
        RunError: its ``config.toml`` is damaged, or has a setting that this version doesn't know.
    """
    path = run.path / CONFIG
    if run.info.get("kind") != "train" or not path.is_file():
        return None
    try:
        return settings_from_dict(read_toml(path))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged, or of another version: {error}") from error


def compare_settings(run: Run) -> SettingsDiff | None:
    """Find the preset that a run is nearest to, and what differs; None for a run without settings.

    A run doesn't name its preset: it may have started from a file, or from one of an older version.

    Raises:
        RunError: see ``read_settings``.
    """
    settings = read_settings(run)
    if settings is None:
        return None
    own = _flatten(fields_to_json(settings))
    presets = {name: _flatten(fields_to_json(load_settings(name))) for name in list_toml(PRESETS)}

    def differing(name: str) -> list[str]:
        return sorted(key for key, value in own.items() if value != presets[name].get(key))

    nearest = min(presets, key=lambda name: (len(differing(name)), name))
    changed = {key: (own[key], presets[nearest].get(key, "-")) for key in differing(nearest)}
    return SettingsDiff(
        nearest, changed, {key: value for key, value in own.items() if key not in changed}
    )


def _flatten(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{before}{key}.")
        elif value is not None:
            found[f"{before}{key}"] = str(value)
    return found
