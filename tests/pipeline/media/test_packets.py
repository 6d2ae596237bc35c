from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from av.error import InvalidDataError

from pipeline.media.packets import MAX_DEMUX_ERRORS, Faults, decoded_frames


class Packet:
    """A packet of one frame; a frame of None can't be decoded."""

    pts, dts, time_base, size, is_discard = 50, None, 0.01, 1, False

    def __init__(self, frame: int | None) -> None:
        self.frame = frame

    def has_sidedata(self, _kind: str) -> bool:
        return False


class LastPacket(Packet):
    """The empty packet with which PyAV ends a stream."""

    size = 0

    def __init__(self) -> None:
        super().__init__(None)


class Stream:
    """A stream whose decoder holds back one frame, as real ones do."""

    type = "audio"

    def __init__(self) -> None:
        self.codec_context = self
        self.held: list[int] = []

    def decode(self, packet: Packet | None) -> list[int]:
        if packet is None:
            return self.held
        if packet.frame is None:
            raise InvalidDataError(1, "bad packet")
        ready, self.held = self.held, [packet.frame]
        return ready


class Container:
    """Yields its packets in turn; a string is an error of the demuxer between two."""

    name = "file:clip.mp4"
    format = SimpleNamespace(name="mov,mp4")

    def __init__(self, items: list[int | str | None]) -> None:
        self.items = iter(items)

    def demux(self, _stream: Any) -> Iterator[Packet]:
        for item in self.items:
            if isinstance(item, str):
                raise InvalidDataError(1, item)
            yield Packet(item)
        yield LastPacket()


def decode(items: list[int | str | None]) -> tuple[list[int], Faults]:
    faults = Faults("picture")
    container: Any = Container(items)
    return list(decoded_frames(container, Stream(), faults)), faults


def test_frames_that_the_decoder_holds_come_at_the_end() -> None:
    assert decode([1, 2, 3])[0] == [1, 2, 3]


def test_a_damaged_packet_costs_itself_only() -> None:
    frames, faults = decode([1, None, 3])
    assert frames == [1, 3]
    assert faults.problems() == ["picture decoding error at 0.50 s: bad packet"]


def test_reading_goes_on_behind_an_error_of_the_container() -> None:
    frames, faults = decode([1, "bad spot", 2, "bad spot", 3])
    assert frames == [1, 2, 3]
    assert faults.count == 2


def test_a_container_that_reports_the_same_error_for_ever_ends() -> None:
    frames, faults = decode([1, *["bad spot"] * 1000, 2])
    assert frames == [1]
    assert faults.count == MAX_DEMUX_ERRORS


def test_many_errors_are_counted_and_the_first_few_told() -> None:
    _, faults = decode([1, *[None] * 20, 2])
    assert len(faults.problems()) == 4
    assert faults.problems()[-1] == "17 more picture decoding errors"


def test_an_error_without_a_time_is_told_without_one() -> None:
    faults = Faults("sound")
    faults.add(None, ValueError("why"))
    assert faults.problems() == ["sound decoding error: why"]


def test_no_errors_are_no_problems() -> None:
    assert decode([1])[1].problems() == []
