"""Settings of a run beside those of a preset: the few that differ, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cache.codec import fields_to_json
from cache.settings import read_toml
from trainer.runs.folder import CONFIG, Run, RunError
from trainer.settings import PRESETS, list_toml, load_settings


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


def compare_settings(run: Run) -> SettingsDiff | None:
    """Find the preset that a run is nearest to, and what differs; None for a run without settings.

    A run doesn't name its preset: it may have started from a file, or from one of an older version.

    Raises:
        RunError: its ``config.toml`` is damaged.
    """
    path = run.path / CONFIG
    if not path.is_file():
        return None
    try:
        own = _flatten(read_toml(path))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    presets = {name: _flatten(fields_to_json(load_settings(name))) for name in list_toml(PRESETS)}

    def differing(name: str) -> list[str]:
        # A setting that is not of this version, or is left out at its default, differs from none.
        both = own.keys() & presets[name].keys()
        return sorted(key for key in both if own[key] != presets[name][key])

    nearest = min(presets, key=lambda name: (len(differing(name)), name))
    changed = {key: (own[key], presets[nearest][key]) for key in differing(nearest)}
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
