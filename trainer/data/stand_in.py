"""Another face network in place of one that a preset names and the cache lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cache.sets.feature_set import list_sets
from cache.settings import Overrides, merge, parse_overrides, read_toml
from trainer.settings import PRESETS, TrainSettings, find_toml


def replace_absent_network(
    settings: TrainSettings,
    cache: Path,
    preset: str,
    overrides: Overrides = (),
    *,
    file: Path | None = None,
) -> tuple[TrainSettings, tuple[str, ...]]:
    """Take the cache's only face network where it lacks the one that a preset names.

    A set that the user named, by ``video.set`` or in a preset of their own, is never replaced, nor
    is any where the choice isn't plain: the refusal that follows names what is there.

    Args:
        settings: as ``trainer.settings.load_settings`` made them of what follows.
        cache: the cache's folder.
        preset: see ``load_settings``.
        overrides: see ``load_settings``.
        file: see ``load_settings``.

    Returns:
        The settings, and a sentence if they were changed.

    Raises:
        SettingsError, OSError: see ``load_settings``.
    """
    given = merge(read_toml(file) if file else {}, parse_overrides(overrides))
    named = (
        "set" in given.get("video", {}) or find_toml(PRESETS, preset, "preset").parent != PRESETS
    )
    wanted = settings.video.set
    specs = [item.spec for item in list_sets(cache)]
    if named or "video" not in settings.modalities or wanted in {spec.name for spec in specs}:
        return settings, ()
    networks = [spec for spec in specs if "faces" in spec.upstream and "views" in spec.settings]
    if len(networks) != 1:
        return settings, ()
    (found,) = networks
    note = f"the cache has no {wanted}; video.set={found.name} instead"
    return replace(settings, video=replace(settings.video, set=found.name)), (note,)
