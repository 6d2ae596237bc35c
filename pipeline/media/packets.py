"""A stream decoded to its end, whatever is damaged: its packets, faults, stamps and clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from pipeline.media.container import MediaError, SeekMissedError, reason

MAX_DEMUX_ERRORS = 10  # in a row; some demuxers report the same bad spot for ever
MAX_LISTED_FAULTS = 3
RESTART_SECONDS = 1.0  # a clock that jumps back further than this has been started again
# Containers whose index, or whose stamps in the order of the file, make a seek exact. The others
# find a place by guessing at stamps, which joined files and wrapped clocks have twice.
INDEXED = {"asf", "avi", "flv", "matroska", "mov"}
MAX_HELD_BYTES = 64_000_000  # of packets that wait for the next key frame


@dataclass
class Faults:
    """Decoding errors met on the way: the first few in words, the others counted.

    ``hidden`` counts the packets that the file's edit list hides, which is no error.
    """

    what: str
    listed: list[str] = field(default_factory=list)
    count: int = 0
    hidden: int = 0

    def add(self, seconds: float | None, error: BaseException) -> None:
        """Record an error near ``seconds`` of the clip."""
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
    only_dts = stream.type == "video" and container.format.name == "avi"
    stamps = Stamps(only_dts=only_dts) if stream.type == "video" else None
    packets = _packets(container, stream, faults)
    if near is not None:
        if only_dts:  # the decoder's delay shows at the beginning only
            next(_decode(container, stream, faults, packets, stamps), None)
        packets = _packets_near(container, stream, faults, near)
    yield from _decode(container, stream, faults, packets, stamps)


def _decode(
    container: InputContainer,
    stream: Any,
    faults: Faults,
    packets: Iterator[Packet[Any] | None],
    stamps: Stamps | None,
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
            continue
        if stamps is None:
            yield from frames
            continue
        if packet is not None:
            stamps.sent(packet.dts)
        for frame in frames:
            frame.pts = stamps.choose(frame.pts, frame.dts)
            yield frame


def _packets(
    container: InputContainer, stream: Any, faults: Faults
) -> Iterator[Packet[Any] | None]:
    """Yield a stream's packets and at the end one that makes the decoder give up what it holds.

    An empty packet says that the frame before it is shown longer (Ogg, AVI). A decoder would take
    it for the end of the stream.
    """
    errors = 0
    while errors < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0
                if packet.size:
                    yield packet
            break
        except FFmpegError as error:  # the next call to demux goes on behind the bad spot
            errors += 1
            faults.add(None, error)
    yield None


def _packets_near(
    container: InputContainer, stream: Any, faults: Faults, near: float
) -> Iterator[Packet[Any] | None]:
    """Yield the packets from a key frame before ``near`` on.

    Raises:
        SeekMissedError: the container can't be searched, or stamps are missing or jump back, so
            that only who decodes everything knows when a frame is shown.
    """
    if INDEXED.intersection(container.format.name.split(",")):
        try:
            container.seek(int(near / stream.time_base), stream=stream)
        except FFmpegError as error:
            raise SeekMissedError from error
        yield from _packets(container, stream, faults)
        return
    packets, held, size, last = _packets(container, stream, faults), [], 0, float("-inf")
    for packet in packets:
        seconds = None if packet is None else _packet_seconds(packet)
        if packet is None or seconds is None:
            raise SeekMissedError
        decoded = seconds if packet.dts is None else float(packet.dts * packet.time_base)
        if decoded < last:
            raise SeekMissedError
        last = decoded
        if packet.is_keyframe and seconds <= near:
            held, size = [], 0
        held.append(packet)
        size += packet.size
        if decoded > near or size > MAX_HELD_BYTES:
            break
    yield from held
    yield from packets


def _packet_seconds(packet: Packet[Any]) -> float | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or not packet.time_base else float(stamp * packet.time_base)


class Stamps:
    """Choice of a frame's stamp: its pts or, where these have failed more often, its dts.

    The rule is that of FFmpeg (``guess_correct_pts``): a stamp fails that doesn't increase. AVI
    stores no pts, and those that FFmpeg makes up are wrong where there are B-frames: there a
    frame's stamp is its dts less the decoder's constant delay.

    Args:
        only_dts: whether the container stores no pts.
    """

    def __init__(self, *, only_dts: bool = False) -> None:
        self.only_dts = only_dts
        self._failed_pts = self._failed_dts = 0
        self._last_pts = self._last_dts = -(1 << 63)
        self._first_dts: int | None = None
        self._delay: int | None = None

    def sent(self, dts: int | None) -> None:
        """Take note of the dts of a packet that the decoder took."""
        if self._first_dts is None:
            self._first_dts = dts

    def choose(self, pts: int | None, dts: int | None) -> int | None:
        """Return the stamp of the next frame, in units of the stream's time base."""
        if self.only_dts:
            return self._undelayed(dts)
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

    def _undelayed(self, dts: int | None) -> int | None:
        if dts is None:  # the frames that a decoder holds at the end
            self._last_dts += 1
            return self._last_dts
        if self._delay is None:
            self._delay = dts - (dts if self._first_dts is None else self._first_dts)
        self._last_dts = dts - self._delay
        return self._last_dts


class Clock:
    """Clock that makes the times of consecutive frames strictly increasing, and counts repairs.

    A frame without a stamp comes one interval after the frame before it. A stamp that doesn't
    increase is moved to half an interval after the frame before it, so that the good stamps
    around it stay as they are. A jump back by more than ``RESTART_SECONDS`` is a clock that was
    started again (joined files): from there on all stamps are shifted to go on.

    Args:
        interval: seconds between two frames.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.last: float | None = None
        self.missing = self.repeated = self.restarts = 0
        self._shift = 0.0

    def stamp(self, seconds: float | None) -> float:
        """Return the time of the next frame, whose own stamp is ``seconds``."""
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
                self.repeated += 1
                result = last + self.interval / 2
        self.last = result
        return result

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
