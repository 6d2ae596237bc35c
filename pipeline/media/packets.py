"""A stream decoded to its end, whatever is damaged: its packets, faults, stamps and clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from pipeline.media.container import MediaError, SeekMissedError, readable, reason
from pipeline.media.machine import raise_if_of_machine

MAX_DEMUX_ERRORS = 10  # in a row; some demuxers report the same bad spot for ever
MAX_LISTED_FAULTS = 3
RESTART_SECONDS = 1.0  # a clock that jumps back further than this has been started again
# Containers in which a seek is exact. The others find a place by guessing at stamps, which joined
# files and wrapped clocks have twice, or know its time only by counting from the beginning.
SEEKABLE = {"matroska", "mov"}
LOOK_AHEAD = 8  # frames by which it is judged whether pts are made up
MAX_HELD_BYTES = 64_000_000  # of packets that wait for the next key frame


@dataclass
class Faults:
    """Decoding errors met on the way: the first few in words, the others counted.

    ``hidden`` counts the packets that the file's edit list hides, which is no error. ``path`` is
    the file.
    """

    what: str
    path: Path
    listed: list[str] = field(default_factory=list)
    count: int = 0
    hidden: int = 0

    def add(self, seconds: float | None, error: Exception) -> None:
        """Record an error near ``seconds`` of the clip.

        Raises:
            UnreadableError: the file can't be read at present.
            MemoryError: this machine is to blame.
            OSError: the same.
        """
        with readable(self.path):
            raise_if_of_machine(error, self.path)
        self.count += 1
        if len(self.listed) < MAX_LISTED_FAULTS:
            where = "" if seconds is None else f" at {seconds:.2f} s"
            self.listed.append(f"{self.what} decoding error{where}: {reason(error)}")

    def forget(self) -> None:
        """Drop the errors so far: they lie before the wanted part, and it doesn't need them."""
        self.listed.clear()
        self.count = 0

    def problems(self) -> list[str]:
        """Return the recorded errors, one line each."""
        more = self.count - len(self.listed)
        return self.listed + ([f"{more} more {self.what} decoding errors"] if more else [])


def decoded_frames(
    container: InputContainer, stream: Any, faults: Faults, near: float | None = None
) -> Iterator[Any]:
    """Decode a stream to its end, going on behind damaged packets.

    The ``pts`` of a picture's frames is the best stamp that the file gives, see ``Stamps``.

    Args:
        container: the open file, of which nothing was read yet.
        stream: one of its video or audio streams.
        faults: receives every error, and the number of packets that the edit list hides.
        near: seconds by the stream's own stamps. What isn't needed for the frames from there on
            is left out as far as that is known; None decodes everything.

    Raises:
        MediaError: the stream is encrypted.
        SeekMissedError: no place before ``near`` can be found; decode everything instead.
    """
    is_video = stream.type == "video"
    stamps = Stamps(only_dts=is_video and container.format.name == "avi")
    # A decoder takes an empty packet for the end of the stream, where it gives up what it holds.
    full = (packet for packet in demuxed(container, faults, stream) if packet.size)
    packets: Iterator[Packet[Any] | None] = chain(full, (None,))
    if near is not None:
        if stamps.only_dts:  # the decoder's delay shows at the beginning only
            next(_stamped(_decode(container, stream, faults, packets, stamps), stamps), None)
            stream.codec_context.flush_buffers()
        packets = _packets_near(container, stream, packets, near)
    frames = _decode(container, stream, faults, packets, stamps)
    yield from _stamped(frames, stamps, near) if is_video else frames


def _decode(
    container: InputContainer,
    stream: Any,
    faults: Faults,
    packets: Iterator[Packet[Any] | None],
    stamps: Stamps,
) -> Iterator[Any]:
    for packet in packets:
        if packet is not None and packet.has_sidedata("encryption_info"):
            name = container.name.removeprefix("file:")
            raise MediaError(f"{name}: its {stream.type} is encrypted and can't be decoded")
        if packet is not None and packet.is_discard:
            faults.hidden += 1
        try:
            frames = stream.codec_context.decode(packet)
        except (FFmpegError, ValueError) as error:  # ValueError: an unusable frame, of size 0 say
            faults.add(None if packet is None else _packet_seconds(packet), error)
            stamps.first_dts = None
            continue
        if stamps.first_dts is None and packet is not None:
            stamps.first_dts = packet.dts
        yield from frames


def _stamped(frames: Iterator[Any], stamps: Stamps, near: float | None = None) -> Iterator[Any]:
    """Give frames their best stamps; look ahead where the first one's pts and dts differ.

    Raises:
        SeekMissedError: after a seek, as the decoder's delay is unknown.
    """
    first = list(islice(frames, 1))
    if not stamps.only_dts and first and first[0].pts != first[0].dts is not None:
        first += islice(frames, LOOK_AHEAD)
        if _failures(frame.pts for frame in first) > _failures(frame.dts for frame in first):
            if near is not None:
                raise SeekMissedError
            stamps.only_dts = True
    for frame in chain(first, frames):
        frame.pts = stamps.choose(frame.pts, frame.dts, frame.duration)
        yield frame


def demuxed(container: InputContainer, faults: Faults, *streams: Any) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams, or of all, going on behind bad spots.

    The last one of a stream is empty. So are those in the middle that say that the frame before
    them is shown longer (Ogg, AVI).
    """
    errors = 0
    while errors < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(*streams):
                errors = 0
                yield packet
            return
        except FFmpegError as error:  # the next call to demux goes on behind the bad spot
            errors += 1
            faults.add(None, error)
        except IndexError:  # at the end of a file in whose middle PyAV has met another stream
            return


def _packets_near(
    container: InputContainer, stream: Any, packets: Iterator[Packet[Any] | None], near: float
) -> Iterator[Packet[Any] | None]:
    """Yield those of the packets that follow a key frame before ``near``.

    Raises:
        SeekMissedError: the container can't be searched, or stamps are missing or jump back, so
            that only who decodes everything knows when a frame is shown.
    """
    if SEEKABLE.intersection(container.format.name.split(",")):
        try:
            container.seek(int(near / stream.time_base), stream=stream)
        except FFmpegError as error:
            raise SeekMissedError from error
        yield from packets
        return
    held: list[Packet[Any]] = []
    size, last = 0, float("-inf")
    for packet in packets:
        seconds = None if packet is None else _packet_seconds(packet)
        if packet is None or seconds is None:
            raise SeekMissedError
        if packet.dts is not None:
            decoded = float(packet.dts * packet.time_base)
            if decoded < last:
                raise SeekMissedError
            last = decoded
        if packet.is_keyframe and seconds <= near:
            held, size = [], 0
        held.append(packet)
        size += packet.size
        if last > near or size > MAX_HELD_BYTES:
            break
    yield from held
    yield from packets


def timed(
    frames: Iterator[Any], clock: Clock, time_base: Fraction | int, origin: float
) -> Iterator[tuple[Any, float]]:
    """Yield each frame with its time in seconds from ``origin``, as the clock repairs it."""
    over, under = time_base.numerator, time_base.denominator  # a Fraction's product takes 1.5 us

    def seconds_of(frame: Any) -> float | None:
        return None if frame.pts is None else frame.pts * over / under - origin

    ahead: list[Any] = []
    while (frame := ahead.pop() if ahead else next(frames, None)) is not None:
        seconds, following = seconds_of(frame), None
        if clock.is_behind(seconds):
            ahead = list(islice(frames, 1))
            following = seconds_of(ahead[0]) if ahead else None
        yield frame, clock.stamp(seconds, following)


def shown_again(stream: Any) -> int:
    """Count the frames that an AVI declares but marks as the one before, shown longer.

    Its stamps count frames. The last frame, which none follows, lasts as long as that before it.
    """
    entries = stream.index_entries
    if stream.container.format.name != "avi" or len(entries) < 2:
        return 0
    last = int(entries[-1].timestamp)
    return 2 * last - int(entries[-2].timestamp) - len(entries)


def _failures(stamps: Iterable[int | None]) -> int:
    known = [stamp for stamp in stamps if stamp is not None]
    return sum(b <= a for a, b in pairwise(known))


def _packet_seconds(packet: Packet[Any]) -> float | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or not packet.time_base else float(stamp * packet.time_base)


class Stamps:
    """Choice of a frame's stamp: its pts or, where these have failed more often, its dts.

    The rule is that of FFmpeg (``guess_correct_pts``): a stamp fails that doesn't increase.

    Args:
        only_dts: whether the pts are made up. AVI stores none, and what FFmpeg puts there is wrong
            where there are B-frames. The stamp is then the dts less the decoder's constant delay.
    """

    def __init__(self, *, only_dts: bool) -> None:
        self.only_dts = only_dts
        self.first_dts: int | None = None  # of the packets that led to the first frame
        self._failed_pts = self._failed_dts = 0
        self._last_pts = self._last_dts = -(1 << 63)
        self._last_duration = 1
        self._least_step = 0  # of an AVI that counts in halves of a frame: 2
        self._delay: int | None = None

    def choose(self, pts: int | None, dts: int | None, duration: int) -> int | None:
        """Return the stamp of the next frame; all are in units of the stream's time base."""
        if self.only_dts:
            return self._undelayed(dts, duration)
        if dts is not None:
            self._failed_dts += dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._failed_pts += pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        trusted = self._failed_pts <= self._failed_dts or dts is None
        return pts if pts is not None and trusted else dts

    def _undelayed(self, dts: int | None, duration: int) -> int:
        if dts is None:  # of the frames that the decoder holds at the end
            dts = self._last_dts + max(self._last_duration, self._least_step)
        if self._delay is None:
            self._delay = dts - (dts if self.first_dts is None else self.first_dts)
        elif dts > self._last_dts:
            step = dts - self._last_dts
            self._least_step = min(self._least_step or step, step)
        self._last_dts, self._last_duration = dts, max(1, duration)
        return dts - self._delay


class Clock:
    """Clock that makes the times of consecutive frames strictly increasing, and counts repairs.

    A frame without a stamp comes one interval after the frame before it. So does one whose stamp
    doesn't increase, or halfway to the next good stamp where that is nearer, so that the good
    stamps around it stay as they are. A jump back by more than ``RESTART_SECONDS`` is a clock that
    was started again (joined files): from there on all stamps are shifted to go on.

    Args:
        interval: seconds between two frames.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last: float | None = None
        self.missing = self.repeated = self.restarts = 0
        self._shift = 0.0

    def is_behind(self, seconds: float | None) -> bool:
        """Whether a stamp doesn't increase, so that the one after it tells where its frame goes."""
        if self.last is None or seconds is None:
            return False
        return seconds + self._shift <= self.last

    def stamp(self, seconds: float | None, following: float | None = None) -> float:
        """Return the time of the next frame.

        Args:
            seconds: its own stamp.
            following: the stamp of the frame after it, where its own ``is_behind``.
        """
        last = self.last
        if seconds is None:
            self.missing += 1
            result = 0.0 if last is None else last + self.interval
        else:
            result = seconds + self._shift
            if last is not None and result <= last - RESTART_SECONDS:
                self.restarts += 1
                self._shift += last + self.interval - result
                result = last + self.interval
            elif last is not None and result <= last:
                result = last + self._room(last, following)
        self.last = result
        return result

    def _room(self, last: float, following: float | None) -> float:
        """Count a stamp that doesn't increase; return the seconds by which it goes on."""
        room = self.interval
        if following is not None and following + self._shift > last:
            room = min(room, (following + self._shift - last) / 2)
        if room < 0.75 * self.interval:  # stamps are rounded
            self.repeated += 1
        else:
            self.missing += 1
        return room

    def problems(self) -> list[str]:
        """Say what was repaired, one line for each kind."""
        lines = []
        if self.missing:
            lines.append(f"frames without a time, placed after the one before: {self.missing}")
        if self.repeated:
            lines.append(f"frames whose time doesn't increase, moved up: {self.repeated}")
        if self.restarts:
            lines.append(f"jumps back of the clock, with later times shifted: {self.restarts}")
        return lines
