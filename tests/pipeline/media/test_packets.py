from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from av.error import InvalidDataError

from pipeline.media.container import SeekMissedError
from pipeline.media.packets import (
    MAX_DEMUX_ERRORS,
    Clock,
    Faults,
    Stamps,
    decoded_frames,
    timed,
)

EMPTY = -1


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


class Given:
    """A frame with the stamps of its file."""

    def __init__(self, pts: int | None, dts: int | None, duration: int = 1) -> None:
        self.pts, self.dts, self.duration = pts, dts, duration


class Stream:
    """A stream whose decoder holds back one frame, as real ones do."""

    type, time_base = "audio", 1

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
            if item == EMPTY:
                yield LastPacket()
                continue
            if isinstance(item, str):
                raise InvalidDataError(1, item)
            yield Packet(item)
        yield LastPacket()


def decode(items: list[int | str | None]) -> tuple[list[int], Faults]:
    faults = Faults("picture", Path("a.mp4"))
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
    faults = Faults("sound", Path("a.mp4"))
    faults.add(None, ValueError("why"))
    assert faults.problems() == ["sound decoding error: why"]


def test_no_errors_are_no_problems() -> None:
    assert decode([1])[1].problems() == []


def test_an_empty_packet_in_the_middle_is_not_the_end() -> None:
    frames, faults = decode([1, EMPTY, 2, EMPTY, EMPTY, 3])
    assert frames == [1, 2, 3]
    assert faults.problems() == []


def test_errors_before_a_wanted_part_are_forgotten() -> None:
    faults = Faults("picture", Path("a.mp4"))
    faults.add(1.0, ValueError("why"))
    faults.forget()
    assert faults.problems() == []


def choose(frames: list[Given], *, only_dts: bool = False, first: int | None = 0) -> list[Any]:
    stamps = Stamps(only_dts=only_dts)
    stamps.first_dts = first
    return [stamps.choose(frame.pts, frame.dts, frame.duration) for frame in frames]


def test_pts_are_taken_while_they_increase() -> None:
    assert choose([Given(3, 1), Given(5, 2), Given(11, 3)]) == [3, 5, 11]


def test_a_missing_stamp_is_filled_in_by_the_other() -> None:
    assert choose([Given(3, None), Given(None, 5), Given(None, None)]) == [3, 5, None]


def test_dts_are_taken_where_pts_have_failed_more_often() -> None:
    # The fourth pts falls back; from there on the dts are better.
    frames = [Given(0, 0), Given(3, 1), Given(4, 2), Given(2, 3), Given(8, 4)]
    assert choose(frames) == [0, 3, 4, 3, 4]


def test_pts_that_fail_as_often_as_dts_are_kept() -> None:
    assert choose([Given(5, 5), Given(1, 1), Given(2, 2)]) == [5, 1, 2]


def test_made_up_pts_give_way_to_the_dts_less_the_delay() -> None:
    # Three packets before the first frame; the decoder gives up the last two at the end.
    frames = [Given(9, 7), Given(2, 8), Given(5, 11, 3), Given(1, None), Given(0, None)]
    assert choose(frames, only_dts=True, first=5) == [5, 6, 9, 12, 13]


def test_frames_behind_a_restarted_clock_are_timed_on() -> None:
    frames = iter([Given(100, 0), Given(101, 0), Given(0, 0), Given(2, 0)])
    times = [seconds for _, seconds in timed(frames, Clock(1.0), 1, 90.0)]
    assert times == [10.0, 11.0, 12.0, 14.0]


def test_only_behind_a_stamp_that_fails_is_the_next_frame_read_early() -> None:
    read: list[int | None] = []

    def given() -> Iterator[Given]:
        for pts in (10, 11, 11, 13):
            read.append(pts)
            yield Given(pts, 0)

    pairs = timed(given(), Clock(1.0), Fraction(1, 2), 0.0)
    assert next(pairs)[1] == 5.0
    assert next(pairs)[1] == 5.5
    assert read == [10, 11]
    assert next(pairs)[1] == 6.0
    assert read == [10, 11, 11, 13]
    assert next(pairs)[1] == 6.5


class Timed(Packet):
    """A packet with the stamps of its file, in seconds."""

    time_base = 1

    def __init__(self, dts: int | None, *, key: bool = False) -> None:
        super().__init__(dts)
        self.pts = self.dts = dts  # type: ignore[assignment]  # of the class: always stamped
        self.is_keyframe = key


class Searched(Container):
    """A container that holds packets and finds no place by itself."""

    format = SimpleNamespace(name="mpegts")

    def __init__(self, packets: list[Timed]) -> None:
        self.packets = packets

    def demux(self, _stream: Any) -> Iterator[Packet]:
        yield from self.packets
        yield LastPacket()

    def seek(self, _offset: int, **_how: Any) -> None:
        raise InvalidDataError(1, "Operation not permitted")


def near(seconds: float, packets: list[Timed], name: str = "mpegts") -> list[int]:
    container: Any = Searched(packets)
    container.format = SimpleNamespace(name=name)
    return list(decoded_frames(container, Stream(), Faults("sound", Path("a.mp4")), seconds))


@pytest.mark.parametrize("name", ["mpegts", "mpeg", "avi", "flv", "ogg", "asf"])
def test_packets_before_the_last_keyframe_are_left_out(name: str) -> None:
    packets = [Timed(i, key=i % 3 == 0) for i in range(11)]
    assert near(7.5, packets, name) == [6, 7, 8, 9, 10]  # without asking for a seek, which raises
    assert near(0.0, packets, name) == list(range(11))


def test_packets_that_wait_for_a_keyframe_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.media.packets.MAX_HELD_BYTES", 2)
    packets = [Timed(i, key=i in (0, 5)) for i in range(7)]
    assert near(6.0, packets) == list(range(7))  # none is left out once the room is full


@pytest.mark.parametrize("stamps", [[0, 1, 2, 0, 1, 2, 3, 4, 5], [0, 1, None, 3, 4, 5], [0, 1, 2]])
def test_a_clock_that_jumps_back_or_lacks_or_ends_can_not_be_searched(
    stamps: list[int | None],
) -> None:
    with pytest.raises(SeekMissedError):
        near(4.0, [Timed(stamp, key=True) for stamp in stamps])


def test_a_seek_that_raises_is_one_that_missed() -> None:
    with pytest.raises(SeekMissedError):
        near(4.0, [Timed(0, key=True)], name="matroska,webm")


def test_a_stream_that_turns_up_late_ends_the_file() -> None:
    class Late(Container):
        def demux(self, stream: Any) -> Iterator[Packet]:
            for packet in super().demux(stream):
                if not packet.size:
                    raise IndexError("list index out of range")  # as PyAV does
                yield packet

    container: Any = Late([1, 2, 3])
    assert list(decoded_frames(container, Stream(), Faults("sound", Path("a.mp4")))) == [1, 2, 3]


class Picture(Stream):
    """A decoder of pictures: an error costs it what it holds, and so does a flush."""

    type = "video"

    def decode(self, packet: Packet | None) -> list[Any]:
        if packet is not None and packet.frame is None:
            self.flush_buffers()
            raise InvalidDataError(1, "bad packet")
        stamp = None if packet is None else packet.dts
        return [Given(number, stamp) for number in super().decode(packet)]

    def flush_buffers(self) -> None:
        self.held = []


def stamps_of(packets: list[Timed], name: str, seconds: float | None = None) -> list[int | None]:
    container: Any = Searched(packets)
    container.format = SimpleNamespace(name=name)
    container.seek = lambda *_, **__: None
    frames = decoded_frames(container, Picture(), Faults("picture", Path("a.mp4")), seconds)
    return [frame.pts for frame in frames]


def test_a_cut_of_an_avi_forgets_the_frames_that_told_the_delay() -> None:
    packets = [Timed(i, key=i % 4 == 0) for i in range(11)]
    assert stamps_of(packets, "avi") == list(range(11))
    assert stamps_of(packets, "avi", 9.5) == [8, 9, 10]


def test_the_delay_of_an_avi_counts_from_behind_an_error() -> None:
    bad = Timed(1)
    bad.frame = None
    packets = [Timed(0, key=True), bad, *(Timed(i, key=i == 2) for i in range(2, 6))]
    assert stamps_of(packets, "avi") == [2, 3, 4, 5]


def test_stamps_that_are_made_up_behind_a_seek_ask_for_the_whole() -> None:
    packets = [Timed(i, key=True) for i in range(5)]
    for packet in packets:
        packet.frame = 7  # the pts of its frame
    assert stamps_of(packets, "matroska,webm") == [0, 1, 2, 3, 4]
    with pytest.raises(SeekMissedError):
        stamps_of(packets, "matroska,webm", 3.0)
