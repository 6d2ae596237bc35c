"""Sizes that a file declares of itself, compared with the bytes that it has.

Durations alone don't tell a file that is cut off: streams are shorter than each other by design,
and live recordings declare none or a wrong one. Bytes do. What declares no size is never called
short: MPEG's and raw streams, live recordings, files written into a pipe.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD = 1 << 16  # bytes in which a header's fields are looked for
TAIL = 1 << 20  # bytes in which the last pages of an Ogg file are looked for
MAX_CHUNKS = 100_000  # boxes or chunks that are walked over; a day of fragments of a second
# Sizes from here on are what programs write that can't go back to fill them in.
UNKNOWN = 0x7FFF_F000
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
MXF_HEADER = bytes.fromhex("060e2b34020501010d0102010102")
MEDIA_BOXES = (b"mdat", b"moof", b"styp", b"sidx", b"emsg", b"prft")


@dataclass(frozen=True)
class Shortage:
    """Reason to look where the streams of a file end: it lacks bytes by its own sizes.

    Args:
        counted: no bytes are known to be missing, but the header counts what there should be.
        media: whether the missing bytes hold picture or sound for sure; else they may be an index
            behind them.
        seconds: length of the file by its header, if it says one.
        num_bytes: of the sound by the header of a file that holds nothing else.
        ended: indices of the streams that come to their marked end nevertheless; None where
            streams lie side by side, so that one that ends well before the other tells it itself.
        index: whether the file's index itself is cut off: streams and frames may be unknown.
    """

    counted: bool = False
    media: bool = False
    seconds: float | None = None
    num_bytes: int | None = None
    ended: frozenset[int] | None = None
    index: bool = False


def find_shortage(path: Path, container: str) -> Shortage | None:
    """Compare the sizes that a file declares with its own.

    Args:
        path: the file.
        container: FFmpeg's name of its container.

    Returns:
        None where the file has all the bytes that it declares, or declares none.
    """
    look = LOOKS.get(container.partition(",")[0])
    if look is None:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            return look(file, size)
        except (struct.error, IndexError, ValueError):  # a cut or damaged header says nothing
            return None


def _mov(file: BinaryIO, size: int) -> Shortage | None:
    """A box at the top that reaches behind the end; in fragments nothing else declares a length."""
    fragmented = False
    position = 0
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        fragmented |= kind == b"moof"
        if length < 8:  # 0: the box goes on to the end, wherever that is
            return None
        position += length
        if position == size:
            return None
        if position > size and kind == b"moov":
            return Shortage(index=True)
        if position > size:
            ended: frozenset[int] | None = frozenset() if fragmented else None
            return Shortage(media=fragmented, ended=ended) if kind in MEDIA_BOXES else None
    return None


def _matroska(file: BinaryIO, size: int) -> Shortage | None:
    if file.read(4) != EBML:
        return None
    file.seek(_element_size(file) or 0, 1)
    if file.read(4) != SEGMENT:
        return None
    length = _element_size(file)
    return None if length is None else Shortage(counted=file.tell() + length <= size)


def _element_size(file: BinaryIO) -> int | None:
    """Read an EBML element's size; None where it is unknown, as in live recordings."""
    first = file.read(1)[0]
    more = 8 - first.bit_length()
    value = int.from_bytes(bytes([first & ((1 << (7 - more)) - 1)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _avi(file: BinaryIO, size: int) -> Shortage | None:
    """A part of OpenDML's that isn't whole; all of them count the frames."""
    for kind, start, length in _chunks(file, size, 0, "<4sI"):
        if kind == b"RIFF" and not 0 < length < UNKNOWN:
            return None
        if kind == b"RIFF" and start + length > size:
            return Shortage()
    return Shortage(counted=True)


def _wav(file: BinaryIO, size: int) -> Shortage | None:
    long = None
    for kind, start, length in _chunks(file, size, 12, "<4sI"):
        if kind == b"ds64":
            file.seek(start + 8)
            (long,) = struct.unpack("<Q", file.read(8))
        if kind == b"data":
            return _sound_data(start, long if long is not None else length, size, long is None)
    return None


def _w64(file: BinaryIO, size: int) -> Shortage | None:
    position = 40
    for _ in range(MAX_CHUNKS):
        if position >= size:
            return None
        file.seek(position)
        kind, length = struct.unpack("<16sQ", file.read(24))
        if kind == W64_DATA:
            return _sound_data(position + 24, length - 24, size, False)
        position += max(24, length + 7 & ~7)
    return None


def _aiff(file: BinaryIO, size: int) -> Shortage | None:
    for kind, start, length in _chunks(file, size, 12, ">4sI"):
        if kind == b"SSND":
            return _sound_data(start + 8, length - 8, size, True)
    return None


def _caf(file: BinaryIO, size: int) -> Shortage | None:
    for kind, start, length in _chunks(file, size, 8, ">4sq"):
        if kind == b"data":
            return _sound_data(start + 4, length - 4, size, False)
    return None


def _au(file: BinaryIO, size: int) -> Shortage | None:
    start, length = struct.unpack(">4xII", file.read(12))
    return _sound_data(start, length, size, True)


def _sound_data(start: int, length: int, size: int, may_be_unknown: bool) -> Shortage | None:
    if length <= 0 or (may_be_unknown and length >= UNKNOWN) or start + length <= size:
        return None
    return Shortage(media=True, num_bytes=length)


def _chunks(
    file: BinaryIO, size: int, position: int, header: str
) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of every chunk, where its content starts, and its declared size."""
    for _ in range(MAX_CHUNKS):
        if not 0 <= position < size:
            return
        file.seek(position)
        kind, length = struct.unpack(header, file.read(struct.calcsize(header)))
        start = file.tell()
        yield kind, start, length
        if length < 0:  # CAF's sound of unknown length
            return
        position = start + length + (length & 1 if header != ">4sq" else 0)  # CAF pads nothing


def _flac(file: BinaryIO, _size: int) -> Shortage | None:
    head = file.read(26)
    known = head[:4] == b"fLaC" and int.from_bytes(head[21:26], "big") & (1 << 36) - 1
    return Shortage(counted=True) if known else None


def _ogg(file: BinaryIO, size: int) -> Shortage | None:
    """The last page is not whole, or the packet in it goes on.

    A last page that isn't marked as the end proves nothing: Android's writer marks none.
    """
    head = file.read(HEAD)
    order = [head[at + 14 : at + 18] for at in _pages(head) if head[at + 5] & 2]
    file.seek(max(0, size - TAIL))
    tail = file.read(TAIL)
    pages = list(_pages(tail))
    if not pages:
        return None
    last = pages[-1]
    lengths = tail[last + 27 : last + 27 + tail[last + 26]]
    end = last + 27 + len(lengths) + sum(lengths)
    is_whole = len(lengths) == tail[last + 26] and end <= len(tail)
    begun = 0 < len(tail) - end < 27 and b"OggS\0".startswith(tail[end : end + 5])
    goes_on = lengths.endswith(b"\xff")
    if is_whole and not begun and not goes_on:
        return None
    ended = {tail[at + 14 : at + 18] for at in pages[:-1] if tail[at + 5] & 4}
    return Shortage(media=True, ended=frozenset(i for i, one in enumerate(order) if one in ended))


def _pages(data: bytes) -> Iterator[int]:
    """Yield where Ogg's pages start, as far as their header is whole."""
    at = data.find(b"OggS\0")
    while 0 <= at <= len(data) - 27:
        yield at
        at = data.find(b"OggS\0", at + 27)


def _mp3(file: BinaryIO, size: int) -> Shortage | None:
    """The bytes that the header of Xing, LAME or Fraunhofer counts from its own frame on."""
    tag = file.read(10)
    start = 0
    if tag[:3] == b"ID3":
        start = 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(tag[6:10]))
    file.seek(start)
    head = file.read(256)
    if (at := max(head.find(b"Xing"), head.find(b"Info"))) >= 0:
        (flags,) = struct.unpack(">I", head[at + 4 : at + 8])
        if flags & 3 != 3:
            return None
        (length,) = struct.unpack(">I", head[at + 12 : at + 16])
    elif (at := head.find(b"VBRI")) >= 0:
        (length,) = struct.unpack(">I", head[at + 10 : at + 14])
    else:
        return None
    return Shortage() if start + length > size else None


def _flv(file: BinaryIO, size: int) -> Shortage | None:
    head = file.read(HEAD)
    length, seconds = _number(head, b"filesize"), _number(head, b"duration")
    if not 0 < length < float("inf") or length <= size:
        return None
    return Shortage(media=True, seconds=seconds if seconds > 0 else None)


def _number(head: bytes, name: bytes) -> float:
    """Return a number of FLV's metadata, 0 without it."""
    key = b"\0" + bytes([len(name)]) + name + b"\0"
    at = head.find(key)
    value: float = struct.unpack_from(">d", head, at + len(key))[0] if at >= 0 else 0.0
    return value


def _asf(file: BinaryIO, size: int) -> Shortage | None:
    head = file.read(HEAD)
    at = head.find(ASF_FILE)
    if head[:16] != ASF_HEADER or at < 0:
        return None
    length, play, preroll, flags = struct.unpack_from("<Q16xQ8xQI", head, at + 40)
    if flags & 1 or length <= size:  # written live: the fields are not filled in
        return None
    return Shortage(media=True, seconds=play / 1e7 - preroll / 1e3)


def _mxf(file: BinaryIO, size: int) -> Shortage | None:
    """The footer that the first partition points to lies behind the end."""
    head = file.read(HEAD)
    at = head.find(MXF_HEADER)
    length = head[at + 16]  # in BER: itself, or how many bytes follow that hold it
    pack = at + 17 + (length & 0x7F if length & 0x80 else 0)
    (footer,) = struct.unpack_from(">Q", head, pack + 24)
    return Shortage() if at >= 0 and footer >= size else None


LOOKS: dict[str, Callable[[BinaryIO, int], Shortage | None]] = {
    "mov": _mov,
    "matroska": _matroska,
    "avi": _avi,
    "wav": _wav,
    "w64": _w64,
    "aiff": _aiff,
    "caf": _caf,
    "au": _au,
    "flac": _flac,
    "ogg": _ogg,
    "mp3": _mp3,
    "flv": _flv,
    "asf": _asf,
    "mxf": _mxf,
}
