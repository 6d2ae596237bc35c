"""Decoding a clip's sound: mono 16 kHz samples on the same time axis as its frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from pipeline.media.container import (
    DecodeSettings,
    audio_stream,
    check_limits,
    open_media,
    read_info,
)
from pipeline.media.errors import MediaError, NoAudioError, SeekMissedError
from pipeline.media.packets import Faults, decoded_frames
from pipeline.media.soundline import BLOCK_SAMPLES, SAMPLE_RATE, SoundLine, mono

__all__ = ["SAMPLE_RATE", "Waveform", "WaveformReader", "read_waveform"]

LEAD_IN = 0.5  # seconds; decoders need a little sound before a cut until what they yield is right
SILENCE = 1e-4  # -80 dB of full scale


@dataclass(frozen=True)
class Waveform:
    """A clip's sound as mono samples.

    Shapes (n samples):
        ``samples``: (n,), float32, in [-1, 1]; n is 0 where the wanted part holds no sound.

    Args:
        sample_rate: in Hz.
        start_seconds: time of the first sample from the clip's start. Sound that begins after the
            picture is not padded: its times say so.
        problems: what is missing or was repaired.
    """

    samples: np.ndarray
    sample_rate: int = SAMPLE_RATE
    start_seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def is_silent(self) -> bool:
        """Whether no sample rises above -80 dB of full scale."""
        return not bool((np.abs(self.samples) > SILENCE).any())


class WaveformReader:
    """Decodes one clip's sound, block by block: the mean of all channels at 16 kHz.

    Iterate over it to get blocks of samples, (n,) float32 in [-1, 1], which follow each other
    without a gap: sound that is lost in the middle of a file is replaced by silence and reported.
    ``sound_start`` is the time of the first sample on the clip's time axis, in seconds; the axis
    is the one of ``VideoReader``. After the iteration ``problems`` says what was wrong.

    Args:
        path: the media file.
        settings: limits and threads.
        start_seconds: the clip starts here in the file.
        end_seconds: the clip ends before this.

    Raises:
        NoAudioError: on iteration: the file has no audio stream.
        MediaError: on iteration: the file can't be opened (see ``open_media``), exceeds a limit,
            or is encrypted.
    """

    def __init__(
        self,
        path: Path,
        settings: DecodeSettings | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> None:
        self.path = path
        self.settings = settings or DecodeSettings()
        self.start_seconds = start_seconds
        self.end_seconds = end_seconds
        self.problems: list[str] = []
        self.sound_start = 0.0
        self.decoded_samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Decode from the beginning; each call starts anew."""
        self.problems, self.sound_start, self.decoded_samples = [], 0.0, 0
        pieces: list[np.ndarray] = []
        pending = 0
        for piece in self._pieces():
            pieces.append(piece)
            pending += len(piece)
            if pending >= BLOCK_SAMPLES:
                yield np.concatenate(pieces)
                pieces, pending = [], 0
        if pieces:
            yield np.concatenate(pieces)

    def _pieces(self) -> Iterator[np.ndarray]:
        try:
            yield from self._cut(self._read(seek=(self.start_seconds or 0.0) > LEAD_IN))
        except SeekMissedError:
            yield from self._cut(self._read(seek=False))

    def _cut(self, sound: Generator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
        """Keep what lies between the clip's start and end.

        Args:
            sound: pieces, each with the position of its first sample, counted at 16 kHz from the
                clip's start.
        """
        limit = round(self.settings.max_duration_seconds * SAMPLE_RATE)
        end = None
        if self.end_seconds is not None:
            end = round((self.end_seconds - (self.start_seconds or 0.0)) * SAMPLE_RATE)
        with closing(sound):
            for position, samples in sound:
                begin = max(0, -position) if self.start_seconds is not None else 0
                stop = len(samples) if end is None else min(len(samples), end - position)
                room = limit - self.decoded_samples
                kept = samples[begin : min(stop, begin + room)]
                if len(kept):
                    if not self.decoded_samples:
                        self.sound_start = (position + begin) / SAMPLE_RATE
                    self.decoded_samples += len(kept)
                    yield kept
                if stop - begin > room:
                    self.problems.append(
                        f"sound stopped after {self.settings.max_duration_seconds:.0f} s "
                        "(max_duration_seconds)"
                    )
                    return
                if end is not None and position + len(samples) >= end:
                    return

    def _read(self, *, seek: bool) -> Generator[tuple[int, np.ndarray]]:
        """Yield mono 16 kHz sound in pieces with the position of each."""
        start = self.start_seconds or 0.0
        with open_media(self.path, self.settings) as container:
            stream = audio_stream(container)
            info = read_info(self.path, container)
            if stream is None or info.audio is None:
                raise NoAudioError(f"{self.path} has no audio stream")
            check_limits(info, self.settings, self.start_seconds, self.end_seconds)
            if info.audio.num_channels > self.settings.max_channels:
                raise MediaError(
                    f"{self.path} has {info.audio.num_channels} audio channels; at most "
                    f"{self.settings.max_channels} are read (max_channels)"
                )
            time_base = stream.time_base or 1
            if seek:
                container.seek(int((start - LEAD_IN + info.origin) / time_base), stream=stream)
            faults, line = Faults("sound"), SoundLine(self.settings.max_duration_seconds)
            try:
                for frame in decoded_frames(container, stream, faults):
                    stamp = None if frame.pts is None else float(frame.pts * time_base)
                    seconds = None if stamp is None else stamp - info.origin - start
                    if seek and line.position is None and (seconds is None or seconds > 0):
                        raise SeekMissedError
                    try:
                        yield from line.add(seconds, frame.sample_rate, mono(frame))
                    except (FFmpegError, ValueError) as error:
                        faults.add(seconds, error)
                yield from line.flush()
            finally:  # the caller stops early at the clip's end
                self.problems += line.problems + faults.problems()


def read_waveform(
    path: Path,
    settings: DecodeSettings | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Waveform | None:
    """Decode a clip's sound whole.

    Args:
        path: the media file.
        settings: limits and threads.
        start_seconds: the clip starts here in the file.
        end_seconds: the clip ends before this.

    Returns:
        The waveform, or None where the file has no audio stream.

    Raises:
        MediaError: the file can't be opened, exceeds a limit, or is encrypted.
    """
    reader = WaveformReader(path, settings, start_seconds, end_seconds)
    try:
        blocks = list(reader)
    except NoAudioError:
        return None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return Waveform(samples, SAMPLE_RATE, reader.sound_start, tuple(reader.problems))
