"""A clip's sound: mono 16 kHz samples on the same time axis as its frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from cache.span import WHOLE_FILE, Span
from pipeline.media.channels import Mix, choose_mix, read_channels
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
from pipeline.media.packets import MAX_LISTED_FAULTS, RESTART_SECONDS, Faults, decoded_frames

__all__ = ["SAMPLE_RATE", "Waveform", "WaveformReader", "read_waveform"]
SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 1 << 18  # 16 s: a block is 1 MiB
LEAD_IN = 0.5  # seconds; decoders need a little sound before a cut until what they yield is right
LEAD_OUT = 2.0  # seconds read behind a cut's end, where stamps still tell a step before it
HELD_BYTES = 72_000_000  # of decoded channels: a minute of 5.1 is decoded once, longer clips twice
RESAMPLED_AT_ONCE = 8_192  # samples; a call of the resampler costs as much as a few thousand
SILENCE = 1e-4  # -80 dB of full scale
JITTER = 0.005  # seconds that a stamp may be off; within that sound and picture are together
# Seconds. More than that is lost sound, and a problem; FFmpeg's limit (aresample min_hard_comp).
MAX_JITTER = 0.1
STAMP_ROUNDING = 0.001  # seconds, of a container's milliseconds
# Seconds over which stamps agree on a step within AGREEMENT. Many files are stamped a hundredth too
# densely and jump by some ms every two seconds: their sound goes on all the same.
LASTING = 1.0
LASTING_AT_END = 0.3
AGREEMENT = 0.0025
MAX_HELD = 1_000  # pieces, where hardly any has a stamp
STEP_NOTE = (
    "sound step: its stamps move by a lasting step of under 0.1 s, and the sound with them, with "
    "silence or an overlap left out there"
)


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
        faults, line = Faults("sound"), SoundLine(self.settings.max_duration_seconds)
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
            sought = seek
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
                names = tuple(channel.name for channel in layout.channels)
                yield Piece(seconds, rate, layout.name, names, values)
            if sought:
                raise SeekMissedError


def coarse(values: np.ndarray, rate: int) -> np.ndarray:
    """Sum neighbouring samples until some 8 kHz are left: above speech, codecs fill in noise.

    Shapes (C channels, n samples):
        ``values``: (C, n).
        result: (C, n divided by a whole number).
    """
    step = max(1, rate // 8_000)
    length = values.shape[1] // step * step
    result = values[:, 0:length:step].copy()
    for offset in range(1, step):
        result += values[:, offset:length:step]
    return result


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


class SoundLine:
    """Line of time at 16 kHz onto which mono sound of any rate is laid, without gaps.

    A stamp that is up to ``JITTER`` off where the samples before it end is rounding. One that is
    further off counts only if those behind it agree for a while: then the sound is placed anew
    there, with silence, or without what lies twice. Else it is a jitter, as of MPEG's and FLV's.

    Args:
        longest_gap: seconds of missing sound that are replaced by silence; a stamp further
            ahead is damaged and ignored.
    """

    def __init__(self, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self.position: int | None = None  # of the next sample to come out
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._resampler: AudioResampler | None = None
        self._pending: list[np.ndarray] = []  # for the resampler
        self._rate = 0
        self._expected = 0.0  # time of the next sample to come in
        self._shift = 0.0
        self._held: list[tuple[int, np.ndarray]] = []  # behind a step that is still to be believed
        self._step = 0.0
        self._doubled = 0.0  # seconds to leave out, as they are there already

    @property
    def _held_length(self) -> float:
        return sum(len(samples) / rate for rate, samples in self._held)

    @property
    def end(self) -> float | None:
        """Seconds at which all that was added ends; None before the first."""
        if self.position is None:
            return None
        return self._expected + self._held_length

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
        step = 0.0
        if seconds is not None:
            step = seconds + self._shift - (self.end or 0.0)
        if self._held:
            agrees = seconds is None or abs(step - self._step) <= AGREEMENT
            if agrees and len(self._held) < MAX_HELD:
                if seconds is not None and self._held_length >= LASTING:
                    yield from self._settle()
                    yield from self._take(rate, samples)
                else:
                    self._held.append((rate, samples))
                return
            self._step = 0.0
            yield from self._settle()
        if abs(step) <= JITTER:
            yield from self._take(rate, samples)
        elif -RESTART_SECONDS < step <= self.longest_gap:
            self._held, self._step = [(rate, samples)], step
        else:
            self._note(f"the clock of the sound jumps by {step:.2f} s at {self._expected:.2f} s")
            self._shift -= step
            yield from self._take(rate, samples)

    def flush(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all that was added and is still held."""
        lasting = len(self._held) > 1 and self._held_length >= LASTING_AT_END
        if abs(self._step) <= MAX_JITTER and not lasting:
            self._step = 0.0
        yield from self._settle()
        yield from self._drain()

    def _settle(self) -> Iterator[tuple[int, np.ndarray]]:
        """Make the step that stamps agree on, if any, and take what is held behind it."""
        held, step, at = self._held, self._step, self._expected
        self._held, self._step = [], 0.0
        if step:
            yield from self._drain()
            self._expected += step
            yield from self._silence(until=round(self._expected * SAMPLE_RATE))
            self._doubled = max(0.0, -step)
        if step > MAX_JITTER:
            self._note(f"{step:.2f} s of sound are missing at {at:.2f} s: silence")
        elif step < -MAX_JITTER:
            self._note(f"{-step:.2f} s of sound lie twice at {at:.2f} s: left out")
        elif step and STEP_NOTE not in self.notes:
            self.notes.append(STEP_NOTE)
        for rate, samples in held:
            yield from self._take(rate, samples)

    def _take(self, rate: int, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Lay samples behind those before them."""
        if self._doubled:
            skipped = min(len(samples), round(self._doubled * rate))
            self._doubled = max(0.0, self._doubled - len(samples) / rate)
            self._expected += skipped / rate
            samples = samples[skipped:]
        if rate != self._rate:
            yield from self._drain()
            self._rate = rate
        self._expected += len(samples) / rate
        self._pending.append(samples)
        if sum(map(len, self._pending)) >= RESAMPLED_AT_ONCE:
            yield from self._resample()

    def _resample(self) -> Iterator[tuple[int, np.ndarray]]:
        samples, self._pending = np.concatenate(self._pending), []
        if not len(samples):
            return
        if self._resampler is None:
            self._resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = self._rate
        yield from self._emit(self._resampler.resample(frame))

    def _drain(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what waits for the resampler, and what it holds itself."""
        if self._pending:
            yield from self._resample()
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
