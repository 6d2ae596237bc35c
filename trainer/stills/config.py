"""Everything that can be set about a fine-tuning, out of presets, TOML files and overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.settings import SettingsError, merge, parse_overrides, read_toml, settings_from
from extractors.networks import NETWORKS
from trainer.stills.data_settings import DataSettings
from trainer.stills.settings import FinetuneSettings

PRESETS = Path(__file__).parent / "presets"
ROUNDING = 8  # of the side of stored images, in pixels


@dataclass(frozen=True)
class FinetuneConfig:
    """The settings of a fine-tuning, in three parts as the file has them.

    Attributes:
        training: the top level of the file.
        data: its table ``data``.
        threads: its number ``threads``; None leaves PyTorch's own.
    """

    training: FinetuneSettings
    data: DataSettings
    threads: int | None

    def stored_size(self) -> int:
        """Return the side of the stored images in pixels."""
        spec = NETWORKS.get(self.training.network)
        size = self.training.image_size or (spec.image_size if spec else ROUNDING)
        return self.data.size or -(-size // ROUNDING) * ROUNDING


def preset_names() -> list[str]:
    """Name the presets of fine-tunings that come with avfuse."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def load_config(
    preset: str | None = None, file: Path | None = None, overrides: Sequence[str] = ()
) -> FinetuneConfig:
    """Put settings together, the later before the earlier.

    Args:
        preset: one of ``preset_names()``; None starts from the defaults.
        file: settings as TOML, such as the ``config.toml`` of a run.
        overrides: each ``key=value``.

    Raises:
        SettingsError: an unknown preset or key (the known ones are named), or a refused value.
        OSError: the file can't be read.
    """
    values: dict[str, Any] = {}
    if preset is not None:
        if preset not in preset_names():
            raise SettingsError(f"unknown preset {preset!r}; known: {', '.join(preset_names())}")
        values = read_toml(PRESETS / f"{preset}.toml")
    if file is not None:
        values = merge(values, read_toml(file))
    values = merge(values, parse_overrides(overrides))
    data, threads = values.pop("data", {}), values.pop("threads", None)
    if not isinstance(data, dict):
        raise SettingsError(f"data must be a table, such as data.size=112, got {data!r}")
    if threads is not None and (type(threads) is not int or threads < 1):
        raise SettingsError(f"threads must be a whole number from 1 on, got {threads!r}")
    return FinetuneConfig(
        settings_from(FinetuneSettings, values),
        settings_from(DataSettings, data, where="data."),
        threads,
    )
