"""A stream decoded to its end, whatever is damaged: its packets, faults and clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from pipeline.media.container import MediaError, reason

MAX_DEMUX_ERRORS = 10  # in a row; some demuxers report the same bad spot for ever
MAX_LISTED_FAULTS = 3
RESTART_SECONDS = 1.0  # a clock that jumps back further than this has been started again


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

    def problems(self) -> list[str]:
        """Return the recorded errors, one line each."""
        more = self.count - len(self.listed)
        return self.listed + ([f"{more} more {self.what} decoding errors"] if more else [])


def decoded_frames(container: InputContainer, stream: Any, faults: Faults) -> Iterator[Any]:
    """Decode a stream to its end, going on behind damaged packets.

    Args:
        container: the open file.
        stream: one of its video or audio streams.
        faults: receives every error, and the number of packets that the edit list hides.

    Raises:
        MediaError: the stream is encrypted.
    """
    for packet in _packets(container, stream, faults):
        if packet is not None and packet.has_sidedata("encryption_info"):
            name = container.name.removeprefix("file:")
            raise MediaError(f"{name}: its {stream.type} is encrypted and can't be decoded")
        if packet is not None and packet.size and packet.is_discard:
            faults.hidden += 1
        try:
            yield from stream.codec_context.decode(packet)
        except (FFmpegError, ValueError) as error:  # ValueError: an unusable frame, of size 0 say
            faults.add(None if packet is None else _packet_seconds(packet), error)


def _packets(
    container: InputContainer, stream: Any, faults: Faults
) -> Iterator[Packet[Any] | None]:
    """Yield a stream's packets and at the end one that makes the decoder give up what it holds."""
    errors = 0
    while errors < MAX_DEMUX_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0
                yield packet if packet.size else None
            return
        except FFmpegError as error:  # the next call to demux goes on behind the bad spot
            errors += 1
            faults.add(None, error)
    yield None


def _packet_seconds(packet: Packet[Any]) -> float | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or not packet.time_base else float(stamp * packet.time_base)


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
