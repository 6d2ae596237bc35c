"""Settings of stage one, gathered from the modules that define and explain them."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.codec import fields_to_json
from cache.settings import Overrides, merge, parse_overrides, read_toml, settings_from
from cache.version import own_version
from extractors.running.settings import NetworkSettings
from extractors.sound.settings import VoiceSettings
from extractors.spectrogram import LogMelSettings, SpectrogramSettings
from extractors.view_settings import VIEW_SETS
from pipeline.extract.versions import read_versions
from pipeline.faces.settings import CropSettings, FaceSettings
from pipeline.media.settings import DecodeSettings


@dataclass(frozen=True)
class StageOneSettings:
    """Settings of stage one, all of them.

    All tables but ``decode`` and ``hang_seconds`` can change numbers and are part of keys.

    Args:
        decode: limits on what one file may make avfuse allocate.
        faces: how faces are found and which one is used.
        crops: how a face is cut out.
        network: which layer, views and arithmetic; the same for every network of a run.
        spectrogram: of the set of that name.
        logmel: of the set of that name.
        voice: of the set of that name.
        hang_seconds: a decoder that takes longer than this for one chunk is ended.
    """

    decode: DecodeSettings = field(default_factory=DecodeSettings)
    faces: FaceSettings = field(default_factory=FaceSettings)
    crops: CropSettings = field(default_factory=CropSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    logmel: LogMelSettings = field(default_factory=LogMelSettings)
    voice: VoiceSettings = field(default_factory=VoiceSettings)
    hang_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.hang_seconds > 0:
            raise ValueError(f"hang_seconds must be above 0, got {self.hang_seconds}")


def load_settings(
    overrides: Overrides = (), *, file: Path | None = None, views: str = "", precision: str = ""
) -> StageOneSettings:
    """Put settings together, the later before the earlier: views, file, precision, overrides.

    Args:
        overrides: see ``parse_overrides``, such as ``faces.policy=central``.
        file: settings as TOML.
        views: a name of ``VIEW_SETS``; empty for the default.
        precision: of the networks; empty for the default.

    Raises:
        SettingsError: an unknown key (the nearest is named), or a refused value.
        OSError: the file can't be read.
    """
    chosen: list[Mapping[str, Any]] = []
    if views:
        chosen.append({"network": {"views": fields_to_json(VIEW_SETS[views])}})
    if file is not None:
        chosen.append(read_toml(file))
    if precision:
        chosen.append({"network": {"precision": precision}})
    values: dict[str, Any] = {}
    for each in (*chosen, parse_overrides(overrides)):
        values = merge(values, each)
    return settings_from(StageOneSettings, values)


def make_provenance(command: Sequence[str], settings: StageOneSettings) -> dict[str, Any]:
    """Return the facts that every entry of a run carries and no key covers."""
    return {
        "avfuse": own_version(),
        "python": platform.python_version(),
        "libraries": read_versions(),
        "host": platform.node(),
        "command": list(command or sys.argv),
        "limits": {**fields_to_json(settings.decode), "hang_seconds": settings.hang_seconds},
    }
