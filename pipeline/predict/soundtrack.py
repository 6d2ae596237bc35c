"""Sound of a film: a video's own, copied where MP4 takes it, else encoded again as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from pipeline.media.container import MediaError, audio_stream, open_media
from pipeline.media.packets import Faults, decoded_frames, demuxed
from pipeline.media.settings import DecodeSettings

COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus"}
RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
OTHER_RATE = 48_000


class Soundtrack:
    """Sound of a video on its way into a film; packets are handed over up to a time.

    Args:
        video: the file.
        film: what is written; the stream is added to it.
        origin: the clip's zero in seconds of the file's stamps.
        settings: limits and threads.

    Attributes:
        problems: what became of the sound, for a user; empty if it is whole.
    """

    def __init__(
        self, video: Path, film: OutputContainer, origin: float, settings: DecodeSettings
    ) -> None:
        self.problems: list[str] = []
        self._film = film
        self._source = open_media(video, settings)
        self._packets: Iterator[tuple[float, Packet[Any]]] = iter(())
        self._next: tuple[float, Packet[Any]] | None = None
        stream = audio_stream(self._source)
        if stream is None:
            return
        faults = Faults("sound", video)
        try:
            codec = stream.codec_context.name
            # AAC without a header, as transport streams have it, can't be copied as it is.
            if codec in COPIED and (codec != "aac" or stream.codec_context.extradata):
                self._packets = self._copy(stream, faults, origin)
            else:
                self._packets = self._encode(stream, faults, origin)
            self._next = next(self._packets, None)
        except (FFmpegError, MediaError, ValueError) as error:
            self._lose(error)

    def write_until(self, seconds: float) -> None:
        """Write the packets that begin before a time of the clip."""
        try:
            while self._next is not None and self._next[0] < seconds:
                self._film.mux(self._next[1])
                self._next = next(self._packets, None)
        except (FFmpegError, MediaError, ValueError) as error:
            self._lose(error)

    def close(self) -> None:
        """Close the video."""
        self._source.close()

    def _lose(self, error: Exception) -> None:
        where = f"from {self._next[0]:.2f} s on" if self._next else "as a whole"
        self.problems.append(f"its sound is left out {where}: {error}")
        self._next = None

    def _copy(
        self, stream: Any, faults: Faults, origin: float
    ) -> Iterator[tuple[float, Packet[Any]]]:
        track = self._film.add_stream_from_template(stream)
        base = stream.time_base
        offset = round(origin / base)
        last: int | None = None
        for packet in demuxed(self._source, faults, stream):
            if packet.dts is None or packet.pts is None or not packet.size:
                continue
            packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
            if last is not None and packet.dts <= last:
                continue  # a clock that jumps back; MP4 has no room for it
            last = packet.dts
            seconds = float(packet.dts * base)
            packet.stream = track
            yield seconds, packet

    def _encode(
        self, stream: Any, faults: Faults, origin: float
    ) -> Iterator[tuple[float, Packet[Any]]]:
        rate = stream.rate if stream.rate in RATES else OTHER_RATE
        track = self._film.add_stream("aac", rate=rate)
        track.layout = "mono" if stream.channels == 1 else "stereo"
        done = 0.0
        for frame in decoded_frames(self._source, stream, faults):
            if frame.pts is not None:
                frame.pts -= round(origin / frame.time_base)
            for packet in track.encode(frame):
                yield done, packet
                done = float((packet.pts or 0) * packet.time_base)
        for packet in track.encode(None):
            yield done, packet
