"""Kinds of file that are no clip, told by their first bytes whatever their names say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 4096  # are looked at
SURE = 4  # so many fixed bytes are no coincidence, and FFmpeg isn't asked
TEXT_SIGNS = 16  # at the beginning of a text of a known kind; bytes may follow, as in torrents
MAX_TEXT_BYTES = 1 << 20  # any larger file may begin without a sign below the blank
FEW_BYTES = 1024

PREDICT = "features and runs need clips; `avfuse predict` without a run answers for a picture"
SAVE = "save it as JPEG or PNG for `avfuse predict`"
CONVERT = "convert it, for instance with ffmpeg"
UNPACK = "unpack it"
AGAIN = "get the clip again"
ELSEWHERE = "get the media that it names"


@dataclass(frozen=True)
class Kind:
    """Kind of file that is no clip.

    Attributes:
        name: with its article, such as "a ZIP archive".
        advice: what to do; empty where the name says it.
        picture: whether it is a still picture of a kind that ``avfuse predict`` reads.
        sure: whether its first bytes alone prove it.
    """

    name: str
    advice: str
    picture: bool
    sure: bool

    def __str__(self) -> str:
        """Say what the file is, to stand after its name."""
        other = "a video" if self.picture else "a video or sound file that can be read"
        return f"is {self.name}, not {other}" + (f"; {self.advice}" if self.advice else "")


# fmt: off
# Offset, bytes there, kind, and for others an advice. The first that fits counts.
PICTURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG picture"),  # or a video of JPEGs, one after the other
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an animated AVIF picture"),
    (0, b"II*\x00", "a TIFF picture"),
    (0, b"MM\x00*", "a TIFF picture"),
    (0, b"BM", "a BMP picture"),
    *((0, b"P%d%c" % (n, blank), "a PNM picture") for n in range(1, 7) for blank in b" \n\r\t"),
)
OTHERS: tuple[tuple[int, bytes, str, str], ...] = (
    *((4, b"ftyp" + brand, "a HEIC picture", SAVE) for brand in (
        b"heic", b"heix", b"heim", b"heis", b"mif1",
    )),
    *((16, b"ftyp" + brand, "a JPEG 2000 picture", SAVE) for brand in (b"jp2 ", b"jpx ")),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture", SAVE),
    (0, b"8BPS\x00\x01", "a Photoshop picture", SAVE),
    (0, b"NIST_1A\n", "a NIST SPHERE file", f"{CONVERT} or sph2pipe"),
    (0, b"MThd\x00\x00\x00\x06", "a MIDI file", "it holds notes and no sound"),
    *((30, name, "an Office document", "") for name in (
        b"[Content_Types].xml", b"_rels/.rels", b"docProps/", b"word/", b"xl/", b"ppt/",
        b"mimetypeapplication/vnd.oasis",
    )),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", ""),
    (0, b"PK\x03\x04", "a ZIP archive", UNPACK),
    (0, b"PK\x05\x06", "a ZIP archive", "it is empty"),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"\xfd7zXZ\x00", "an XZ archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\x1f\x8b\x08", "a GZIP archive", UNPACK),
    (0, b"%PDF-", "a PDF document", ""),
    (0, b"%!PS", "a PostScript document", ""),
    (0, b"{\\rtf", "an RTF document", ""),
    (0, b"\x93NUMPY", "a NumPy array", "`avfuse cache import` reads features"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "`avfuse cache import` reads features"),
    *((0, b"\x80%c" % protocol, "a Python pickle", "") for protocol in range(2, 6)),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", ""),
    (0, b"SQLite format 3\x00", "an SQLite database", ""),
    (0, b"PAR1", "a Parquet table", ""),
    (0, b"\x7fELF", "a program (ELF)", ""),
    (0, b"MZ\x90\x00", "a program (Windows)", ""),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut", ELSEWHERE),
    (0, b"\x00\x05\x16\x07", "an AppleDouble file", "macOS keeps notes in it; leave it out"),
)
# Beginnings of texts in any case, kind, advice.
_TAGS = r"(<[!?][^>]*>\s*)*"
_HEADER = (
    r"(received|return-path|mime-version|delivered-to|date|subject|message-id|from|to"
    r"|content-type|x-[\w-]+): .*\n([ \t].*\n)*"
)
TEXTS: Mapping[str, tuple[str, str]] = {
    rf"{_TAGS}<(!doctype html|html|head|body)\b":
        ("an HTML page, such as a server's answer", AGAIN),
    rf"{_TAGS}<svg\b": ("an SVG picture", ""),
    r"<\?xml\b": ("an XML text, such as a server's answer", AGAIN),
    r"[{\[]\s*[\"{\[}\]\d-]": ("a JSON text, such as a server's answer", AGAIN),
    rf"From \S+ .*\d\d:\d\d|{_HEADER}{_HEADER}": ("an e-mail", "save its attachment"),
    r"webvtt\b": ("a file of subtitles (WebVTT)", ""),
    r"\d+\s*\n\d+:\d\d:\d\d[,.]\d+ *--> *\d": ("a file of subtitles (SubRip)", ""),
    r"\[script info\]": ("a file of subtitles (ASS)", ""),
    r"#extm3u\b": ("a playlist (M3U)", ELSEWHERE),
    r"\[playlist\]": ("a playlist (PLS)", ELSEWHERE),
    r"d\d+:(announce|comment|creat|encoding|info|nodes|url-list)": ("a torrent", ELSEWHERE),
    r"\[internetshortcut\]": ("an internet shortcut", ELSEWHERE),
}
# fmt: on
MEDIA = (
    (0, b"RIFF"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"OggS"),
    (0, b"fLaC"),
    (4, b"ftyp"),
    (4, b"moov"),
)


def read_head(path: Path) -> bytes:
    """Read a file's first ``HEAD_BYTES``.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def recognise(head: bytes) -> Kind | None:
    """Tell what a file is by its first ``HEAD_BYTES``; None where it may be a clip."""
    for place, magic, name in PICTURES:
        if head.startswith(magic, place):
            return Kind(name, PREDICT, picture=True, sure=len(magic) >= SURE)
    for place, magic, name, advice in OTHERS:
        if head.startswith(magic, place):
            return Kind(name, advice, picture=False, sure=len(magic) >= SURE)
    text = read_text(head, TEXT_SIGNS) or ""
    for pattern, (name, advice) in TEXTS.items():
        if re.match(pattern, text, re.IGNORECASE):
            return Kind(name, advice, picture=False, sure=False)
    return None


def read_text(head: bytes, signs: int) -> str | None:
    """Return the beginning of a text without leading blanks; None if it is no text.

    Args:
        head: bytes, with the mark of UTF-16 if there are two a sign.
        signs: so many from the first must be letters, digits or the like.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) & ~1].decode("utf-16", errors="replace")
    else:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    text = text.lstrip().replace("\r\n", "\n")
    return text if all(sign >= " " or sign in "\t\n\r" for sign in text[:signs]) else None


def describe_refused(head: bytes, size: int, reason: str) -> str:
    """Say what a file that FFmpeg refuses is, to stand after its name.

    Args:
        head: its first ``HEAD_BYTES``.
        size: of the file, in bytes.
        reason: FFmpeg's words.
    """
    if kind := recognise(head):
        return str(kind)
    if not head.strip(b"\x00"):
        what = f"its first {len(head)} bytes are zero, as after a copy that was broken off"
    elif size < MAX_TEXT_BYTES and read_text(head[:512], 512) is not None:
        what = "it looks like text"
    elif size < FEW_BYTES:
        what = f"it has only {size} bytes ({reason})"
    elif any(head.startswith(magic, place) for place, magic in MEDIA):
        what = f"it is damaged or cut off ({reason})"
    else:
        what = f"it is damaged, cut off, or of another kind ({reason})"
    return f"is not a video or sound file that can be read: {what}"
