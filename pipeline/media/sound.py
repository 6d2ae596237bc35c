"""A clip's sound: mono 16 kHz samples on the same time axis as its frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from cache.span import WHOLE_FILE, Span
from pipeline.media.container import (
    DecodeSettings,
    MediaError,
    NoAudioError,
    SeekMissedError,
    audio_stream,
    check_limits,
    open_media,
    read_info,
)
from pipeline.media.packets import MAX_LISTED_FAULTS, Faults, decoded_frames

__all__ = ["SAMPLE_RATE", "Waveform", "WaveformReader", "read_waveform"]
SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 1 << 18  # 16 s: a block is 1 MiB
# Stamps of sound jitter by a frame or two (mpeg, flv, streams cut without encoding); only a larger
# step is lost sound. FFmpeg's own limit (aresample min_hard_comp) is the same.
MAX_JITTER = 0.1
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


def read_waveform(
    path: Path,
    settings: DecodeSettings | None = None,
    span: Span = WHOLE_FILE,
) -> Waveform | None:
    """Decode a clip's sound whole.

    Args:
        path: the media file.
        settings: limits and threads.
        span: the part of the file that is the clip.

    Returns:
        The waveform, or None where the file has no audio stream.

    Raises:
        MediaError: the file can't be opened, exceeds a limit, or is encrypted.
    """
    reader = WaveformReader(path, settings, span)
    try:
        blocks = list(reader)
    except NoAudioError:
        return None
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return Waveform(samples, SAMPLE_RATE, reader.sound_start, tuple(reader.problems))


class WaveformReader:
    """Reader of one clip's sound, block by block: the mean of all channels at 16 kHz.

    Iterate over it to get blocks of samples, (n,) float32 in [-1, 1], which follow each other
    without a gap: sound that is lost in the middle of a file is replaced by silence and reported.
    ``sound_start`` is the time of the first sample on the clip's time axis, in seconds; the axis
    is the one of ``VideoReader``. After the iteration ``problems`` says what was wrong.

    Args:
        path: the media file.
        settings: limits and threads.
        span: the part of the file that is the clip.

    Raises:
        NoAudioError: on iteration: the file has no audio stream.
        MediaError: on iteration: the file can't be opened (see ``open_media``), exceeds a limit,
            or is encrypted.
    """

    def __init__(
        self,
        path: Path,
        settings: DecodeSettings | None = None,
        span: Span = WHOLE_FILE,
    ) -> None:
        self.path = path
        self.settings = settings or DecodeSettings()
        self.span = span
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
            yield from self._cut(self._read(seek=self.span.begin > LEAD_IN))
        except SeekMissedError:
            self.problems = []
            yield from self._cut(self._read(seek=False))

    def _cut(self, sound: Generator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
        """Keep what lies between the clip's start and end.

        Args:
            sound: pieces, each with the position of its first sample, counted at 16 kHz from the
                clip's start.
        """
        limit = round(self.settings.max_duration_seconds * SAMPLE_RATE)
        end = None
        if self.span.end is not None:
            end = round((self.span.end - self.span.begin) * SAMPLE_RATE)
        with closing(sound):
            for position, samples in sound:
                begin = max(0, -position) if self.span.start is not None else 0
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
        start = self.span.begin
        with open_media(self.path, self.settings) as container:
            stream = audio_stream(container)
            info = read_info(self.path, container)
            if stream is None or info.audio is None:
                raise NoAudioError(f"{self.path} has no audio stream")
            check_limits(info, self.settings, self.span)
            if info.audio.num_channels > self.settings.max_channels:
                raise MediaError(
                    f"{self.path} has {info.audio.num_channels} audio channels; at most "
                    f"{self.settings.max_channels} are read (max_channels)"
                )
            time_base = stream.time_base or 1
            near = start - LEAD_IN + info.origin if seek else None
            faults, line = Faults("sound"), SoundLine(self.settings.max_duration_seconds)
            try:
                for frame in decoded_frames(container, stream, faults, near):
                    stamp = None if frame.pts is None else float(frame.pts * time_base)
                    seconds = None if stamp is None else stamp - info.origin - start
                    if seek and line.position is None and (seconds is None or seconds > 0):
                        raise SeekMissedError
                    try:
                        yield from line.add(seconds, frame.sample_rate, mono(frame))
                    except (FFmpegError, ValueError) as error:
                        faults.add(seconds, error)
                if seek and line.position is None:
                    raise SeekMissedError
                yield from line.flush()
            finally:  # the caller stops early at the clip's end
                self.problems += line.problems + faults.problems()


class SoundLine:
    """Line of time at 16 kHz onto which mono sound of any rate is laid, without gaps.

    Args:
        longest_gap: seconds of missing sound that are replaced by silence; a stamp further
            ahead is damaged and ignored.
    """

    def __init__(self, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self.position: int | None = None  # of the next sample to come out
        self.problems: list[str] = []
        self._resampler: AudioResampler | None = None
        self._rate = 0
        self._expected = 0.0  # time of the next sample to come in
        self._shift = 0.0

    def add(
        self, seconds: float | None, rate: int, samples: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Take samples that claim to start at ``seconds``; yield those that are ready.

        Yields:
            Position of the first sample, counted at 16 kHz from the clip's start, and samples.
        """
        if self.position is None:
            self._expected = seconds or 0.0
            self.position = round(self._expected * SAMPLE_RATE)
        elif seconds is not None:
            seconds += self._shift
            gap = seconds - self._expected
            if -MAX_JITTER <= gap <= MAX_JITTER:
                pass
            elif 0 < gap <= self.longest_gap:
                self._note(f"{gap:.2f} s of sound are missing at {self._expected:.2f} s: silence")
                yield from self.flush()
                yield from self._silence(until=round(seconds * SAMPLE_RATE))
                self._expected = seconds
            else:
                self._note(f"the clock of the sound jumps by {gap:.2f} s at {self._expected:.2f} s")
                self._shift -= gap
        if rate != self._rate:
            yield from self.flush()
            self._rate = rate
        if self._resampler is None:
            self._resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        self._expected += len(samples) / rate
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        yield from self._emit(self._resampler.resample(frame))

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what the resampler still holds."""
        if self._resampler is not None:
            yield from self._emit(self._resampler.resample(None))
        self._resampler = None

    def _emit(self, frames: list[av.AudioFrame]) -> Iterator[tuple[int, np.ndarray]]:
        for frame in frames:
            yield self._advance(frame.to_ndarray()[0].astype(np.float32).clip(-1.0, 1.0))

    def _silence(self, *, until: int) -> Iterator[tuple[int, np.ndarray]]:
        while (left := until - (self.position or 0)) > 0:
            yield self._advance(np.zeros(min(left, BLOCK_SAMPLES), np.float32))

    def _advance(self, samples: np.ndarray) -> tuple[int, np.ndarray]:
        position = self.position or 0
        self.position = position + len(samples)
        return position, samples

    def _note(self, problem: str) -> None:
        if len(self.problems) < MAX_LISTED_FAULTS:
            self.problems.append(problem)


def mono(frame: av.AudioFrame) -> np.ndarray:
    """Average the channels of a decoded piece of sound.

    The plain mean of all channels, written out because FFmpeg's own downmix weighs them by
    layout and knows no layout beyond eight channels.

    Shapes (n samples):
        result: (n,), float32; full scale of the sample format becomes 1, nan and inf become 0.

    Raises:
        ValueError: the sample format is unknown.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        values = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        values = samples.astype(np.float32) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    else:
        values = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    result: np.ndarray = values.mean(axis=0)
    return result
