"""A clip's sound: mono 16 kHz samples on the same time axis as its frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.channels import Mix, choose_mix, coarse, read_channels
from pipeline.media.container import (
    DecodeSettings,
    MediaError,
    MediaInfo,
    NoAudioError,
    SeekMissedError,
    audio_stream,
    check_limits,
    open_media,
    read_info,
)
from pipeline.media.declared import find_cut_off
from pipeline.media.packets import Faults, decoded_frames
from pipeline.media.soundline import BLOCK_SAMPLES, SAMPLE_RATE, SoundLine

__all__ = ["SAMPLE_RATE", "Waveform", "WaveformReader", "read_waveform"]
LEAD_IN = 0.5  # seconds; decoders need a little sound before a cut until what they yield is right
LEAD_OUT = 2.0  # seconds read behind a cut's end, where stamps still tell a step before it
HELD_BYTES = 72_000_000  # of decoded channels: a minute of 5.1 is decoded once, longer clips twice
STAMP_ROUNDING = 0.001  # seconds, of a container's milliseconds
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
        notes: what is odd but harmless, as ``kind: sentence``.
    """

    samples: np.ndarray
    sample_rate: int = SAMPLE_RATE
    start_seconds: float = 0.0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
    problems, notes = tuple(reader.problems), tuple(reader.notes)
    return Waveform(samples, SAMPLE_RATE, reader.sound_start, problems, notes)


@dataclass(frozen=True)
class Piece:
    """Decoded sound of a few milliseconds, as the file stamps it.

    Args:
        seconds: claimed time of the first sample from the clip's start; None without a stamp.
        rate: samples a second.
        layout: name of the channels' layout.
        names: FFmpeg's names of the channels.
        values: (C, n), float32.
    """

    seconds: float | None
    rate: int
    layout: str
    names: tuple[str, ...]
    values: np.ndarray

    @property
    def length(self) -> float:
        """Seconds that it lasts."""
        return float(self.values.shape[1] / self.rate)


class WaveformReader:
    """Reader of one clip's sound, block by block: one channel at 16 kHz.

    Iterate over it to get blocks of samples, (n,) float32 in [-1, 1], which follow each other
    without a gap: sound that is lost in the middle of a file is replaced by silence and reported.
    Several channels become their mean; ``pipeline.media.channels`` says when something else.
    ``sound_start`` is the time of the first sample on the clip's time axis, in seconds; the axis
    is the one of ``VideoReader``. After the iteration ``problems`` says what was wrong, ``notes``
    what is odd but harmless, and ``cut_off``, which is one of the problems, where the sound ends if
    that is before its declared length.

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
        self.notes: list[str] = []
        self.cut_off = ""
        self.sound_start = 0.0
        self.decoded_samples = 0
        self._info: MediaInfo | None = None

    @property
    def info(self) -> MediaInfo:
        """The file as its headers declare it; known as soon as the iteration has begun.

        Raises:
            RuntimeError: nothing was read yet.
        """
        if self._info is None:
            raise RuntimeError(f"{self.path} was not read yet; iterate over the reader first")
        return self._info

    def __iter__(self) -> Iterator[np.ndarray]:
        """Decode from the beginning; each call starts anew."""
        self.problems, self.notes, self.cut_off = [], [], ""
        self.sound_start, self.decoded_samples = 0.0, 0
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
            self.problems, self.notes = [], []
            yield from self._cut(self._read(seek=False))

    def _cut(self, sound: Generator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
        """Keep what lies between the clip's start and end.

        Args:
            sound: pieces, each with the position of its first sample, counted at 16 kHz from the
                clip's start.
        """
        limit = round(self.settings.max_duration_seconds * SAMPLE_RATE)
        end = None if self.span.end is None else round(self._end * SAMPLE_RATE)
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

    @property
    def _end(self) -> float:
        """The clip's end, in seconds from its start."""
        return math.inf if self.span.end is None else self.span.end - self.span.begin

    def _read(self, *, seek: bool) -> Generator[tuple[int, np.ndarray]]:
        """Yield mono 16 kHz sound in pieces with the position of each."""
        faults, line = Faults("sound", self.path), SoundLine(self.settings.max_duration_seconds)
        pieces, mixes = self._listen(faults, seek=seek)
        try:
            for piece in pieces:
                samples = mixes.get(piece.layout, Mix()).apply(piece.values)
                try:
                    yield from line.add(piece.seconds, piece.rate, samples)
                except (FFmpegError, ValueError) as error:
                    faults.add(piece.seconds, error)
            yield from line.flush()
            end = None if line.end is None else line.end + self.span.begin
            self.cut_off = find_cut_off(self.info, self.settings, "sound", self.span, end) or ""
        finally:  # the caller stops early at the clip's end
            self.problems += [self.cut_off] if self.cut_off else []
            self.problems += line.problems + faults.problems()
            self.notes += line.notes + sorted({mix.note for mix in mixes.values() if mix.note})

    def _listen(self, faults: Faults, *, seek: bool) -> tuple[Iterable[Piece], Mapping[str, Mix]]:
        """Choose what is kept of several channels, by all of the clip.

        Returns:
            The clip's sound, and for every layout in it how its channels become one.
        """
        pieces = self._decode(faults, seek=seek)
        first = next(pieces, None)
        if first is None or len(first.values) == 1:
            return itertools.chain([first] if first else [], pieces), {}
        products: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        held: list[Piece] = []
        size, at = 0, first.seconds or 0.0
        stop = min(self._end, self.settings.max_duration_seconds) + LEAD_OUT
        for piece in itertools.chain([first], pieces):
            if at > stop:
                break
            at += piece.length
            size += piece.values.nbytes
            if size <= HELD_BYTES:
                held.append(piece)
            else:
                held.clear()
            values = coarse(self._inside(piece), piece.rate)
            before = products.get(piece.layout, (piece.names, np.zeros((len(values),) * 2)))[1]
            with np.errstate(over="ignore", invalid="ignore"):  # damaged numbers of a float format
                products[piece.layout] = piece.names, before + values @ values.T
        mixes = {layout: choose_mix(layout, *found) for layout, found in products.items()}
        if size <= HELD_BYTES:
            return held, mixes
        faults.forget()
        return self._decode(faults, seek=seek), mixes

    def _inside(self, piece: Piece) -> np.ndarray:
        """Return what of a piece lies inside the clip, by its stamp."""
        if piece.seconds is None or self.span.is_whole:
            return piece.values
        begin = max(0, round(-piece.seconds * piece.rate))
        length = min(self._end - piece.seconds, piece.length)
        return piece.values[:, begin : max(0, round(length * piece.rate))]

    def _decode(self, faults: Faults, *, seek: bool) -> Generator[Piece]:
        """Yield the sound as it is decoded.

        Raises:
            SeekMissedError: what was sought begins inside the clip, or is nothing at all.
        """
        start = self.span.begin
        with open_media(self.path, self.settings) as container:
            stream = audio_stream(container)
            info = self._info = read_info(self.path, container)
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
            sought, names = seek, dict[str, tuple[str, ...]]()
            for frame in decoded_frames(container, stream, faults, near):
                stamp = None if frame.pts is None else float(frame.pts * time_base)
                seconds = None if stamp is None else stamp - info.origin - start
                try:
                    values = read_channels(frame)
                except ValueError as error:
                    faults.add(seconds, error)
                    continue
                layout, rate = frame.layout, frame.sample_rate
                if sought:
                    if seconds is None or seconds > 0:
                        raise SeekMissedError
                    first = info.audio.start_seconds - start
                    count = count_samples(seconds - first, rate, frame.samples)
                    off = -count % (rate // math.gcd(rate, SAMPLE_RATE))
                    # From here on samples at 16 kHz fall where those of the whole file do.
                    values, seconds = values[:, off:], first + (count + off) / rate
                    sought = False
                if layout.name not in names:
                    names[layout.name] = tuple(channel.name for channel in layout.channels)
                yield Piece(seconds, rate, layout.name, names[layout.name], values)
            if sought:
                raise SeekMissedError


def count_samples(seconds: float, rate: int, length: int) -> int:
    """Count the samples before a frame by its stamp.

    A whole number of frames, where the stamp, rounded to milliseconds, allows one.

    Args:
        seconds: of the stamp, from the stream's first sample on.
        rate: samples a second.
        length: samples of the frame.
    """
    count = round(seconds * rate)
    frames = round(count / length) * length
    return frames if abs(frames - count) <= STAMP_ROUNDING * rate else count
