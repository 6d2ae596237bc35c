"""The sound of one clip as features: waveform -> spectrogram or log-mel, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cache.manifest.manifest import Clip
from extractors.spectrogram import LogMelStream, SpectrogramStream, step_times
from pipeline.extract.settings import StageOneSettings
from pipeline.media.container import MediaInfo
from pipeline.media.sound import SAMPLE_RATE, WaveformReader
from pipeline.workers.watchdog import guarded

STREAMS: dict[str, Callable[[int, Any], SpectrogramStream | LogMelStream]] = {
    "spectrogram": SpectrogramStream,
    "logmel": LogMelStream,
}


class AudioSteps:
    """Iterates over a clip's audio features, in blocks of ``times`` and one array of steps.

    There is always at least one block, so that an entry knows its arrays; it is empty where the
    clip has no sound. After the iteration ``problems`` says what is missing or was repaired.

    Args:
        name: the set, a key of ``STREAMS``.
        clip: the clip.
        info: what its file holds.
        settings: all settings of stage one.

    Raises:
        pipeline.media.container.MediaError: on iteration: the sound can't be decoded.
    """

    def __init__(self, name: str, clip: Clip, info: MediaInfo, settings: StageOneSettings) -> None:
        self.name = name
        self.clip = clip
        self.has_sound = info.audio is not None
        self.settings = settings
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Decode from the beginning."""
        own = getattr(self.settings, self.name)
        stream = STREAMS[self.name](SAMPLE_RATE, own)
        reader = WaveformReader(
            self.clip.path,
            self.settings.decode,
            start_seconds=self.clip.start_seconds,
            end_seconds=self.clip.end_seconds,
        )
        done = 0

        def block(steps: np.ndarray) -> dict[str, np.ndarray]:
            nonlocal done
            times = step_times(done + len(steps), own)[done:] + reader.sound_start
            done += len(steps)
            return {"times": times, self.name: steps}

        yield block(stream.push(np.zeros(0, np.float32)))
        if self.has_sound:
            for samples in guarded(reader, self.settings.hang_seconds):
                yield block(stream.push(samples))
            yield block(stream.finish())
            self.problems = list(reader.problems)
            if done == 0:
                seconds = reader.decoded_samples / SAMPLE_RATE
                self.problems.append(
                    f"sound of {seconds:.3f} s is shorter than a window of {own.window_seconds} s"
                )
