"""Arrays in, features out: face networks, views, spectrograms. Knows no files and no video.

For Python, ``load_network`` embeds crops of faces, ``compute_spectrogram``, ``compute_logmel``
and ``compute_voice`` take a waveform.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extractors.logmel import LogMelSettings
    from extractors.running.embedder import Embedder, load_network
    from extractors.sound.settings import VoiceSettings
    from extractors.sound.voice import compute_voice
    from extractors.spectrogram import (
        SpectrogramSettings,
        compute_logmel,
        compute_spectrogram,
        step_times,
    )

__all__ = [
    "Embedder",
    "LogMelSettings",
    "SpectrogramSettings",
    "VoiceSettings",
    "compute_logmel",
    "compute_spectrogram",
    "compute_voice",
    "load_network",
    "step_times",
]
_HOMES = {
    "Embedder": "extractors.running.embedder",
    "LogMelSettings": "extractors.logmel",
    "VoiceSettings": "extractors.sound.settings",
    "compute_voice": "extractors.sound.voice",
    "load_network": "extractors.running.embedder",
}

if not TYPE_CHECKING:  # to whom an unknown name is an error

    def __getattr__(name: str) -> object:
        """Import a name of ``__all__`` when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES.get(name, "extractors.spectrogram")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
