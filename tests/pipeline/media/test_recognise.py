"""Files that are no clip, made by the programs that make them, and called what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import tarfile
import time
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pipeline.media.container import MediaError, probe
from pipeline.media.frames import VideoReader
from pipeline.media.recognise import HEAD_BYTES, describe_refused, recognise
from tests.pipeline.videos import grey_frame, write_video

NOISE = np.random.default_rng(3).bytes(3000)


def picture(kind: str, **how: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey_frame(3, 24, 32)).save(stream, kind, **how)
    return stream.getvalue()


def zipped(name: str, content: bytes = NOISE) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def in_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("clip.mp4")
        info.size = len(NOISE)
        archive.addfile(info, io.BytesIO(NOISE))
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(500.0))
    return stream.getvalue()


def hdf5() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["features"] = np.arange(500.0)
    return stream.getvalue()


def mail() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@b.example", "c@d.example", "the clip"
    message.set_content("attached")
    message.add_attachment(NOISE, maintype="video", subtype="mp4", filename="clip.mp4")
    return message.as_bytes()


def sphere() -> bytes:
    lines = ("NIST_1A", "   1024", "channel_count -i 1", "sample_rate -i 16000", "end_head", "")
    return "\n".join(lines).encode().ljust(1024) + NOISE


PICTURES: dict[str, tuple[str, bytes]] = {
    "jpeg": ("a JPEG picture", picture("JPEG")),
    "png": ("a PNG picture", picture("PNG")),
    "webp": ("a WebP picture", picture("WEBP")),
    "avif": ("an AVIF picture", picture("AVIF")),
    "tiff": ("a TIFF picture", picture("TIFF")),
    "bmp": ("a BMP picture", picture("BMP")),
    "ppm": ("a PNM picture", picture("PPM")),
}
OTHERS: dict[str, tuple[str, bytes]] = {
    # The first box of a photograph of an iPhone.
    "heic": ("a HEIC picture", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + NOISE),
    "jpeg 2000": ("a JPEG 2000 picture", picture("JPEG2000")),
    "sphere": ("a NIST SPHERE file", sphere()),
    "zip": ("a ZIP archive", zipped("clip.mp4")),
    "docx": ("an Office document", zipped("[Content_Types].xml")),
    "rar": ("a RAR archive", b"Rar!\x1a\x07\x01\x00" + NOISE),
    "7z": ("a 7z archive", b"7z\xbc\xaf'\x1c\x00\x04" + NOISE),
    "xz": ("an XZ archive", lzma.compress(NOISE)),
    "bzip2": ("a bzip2 archive", bz2.compress(NOISE)),
    "gzip": ("a GZIP archive", gzip.compress(NOISE)),
    "tar": ("a tar archive", in_tar()),
    "pdf": ("a PDF document", picture("PDF")),
    "npy": ("a NumPy array", array()),
    "hdf5": ("an HDF5 file", hdf5()),
    "pickle": ("a Python pickle", pickle.dumps({"features": list(range(500))})),
    "elf": ("a program", b"\x7fELF\x02\x01\x01\x00" + NOISE),
    "windows": ("a program", b"MZ\x90\x00\x03" + NOISE),
    "html": ("an HTML page", b"\r\n<!-- 404 --><!DOCTYPE html>\n<title>Sign in</title>" * 90),
    "xhtml": ("an HTML page", b'\xef\xbb\xbf<?xml version="1.0"?>\n<html lang="en">' * 90),
    "xml": ("an XML text", b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>'),
    "svg": ("an SVG picture", b'<?xml version="1.0"?>\n<svg width="9" height="9"></svg>'),
    "json": ("a JSON text", json.dumps({"error": "quota", "rows": list(range(900))}).encode()),
    "e-mail": ("an e-mail", mail()),
    "mbox": ("an e-mail", b"From a@b.example Sat Jan  3 01:05:34 1996\n" + mail()),
    "subrip": ("a file of subtitles (SubRip)", b"1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\n"),
    "webvtt": ("a file of subtitles (WebVTT)", b"WEBVTT\n\n00:01.000 --> 00:02.500\nHello\n"),
    "m3u8": ("a playlist (M3U)", b"#EXTM3U\n#EXTINF:9,\nhttps://example.org/1.ts\n"),
    "torrent": ("a torrent", b"d8:announce26:https://tracker.example/an4:info" + NOISE),
    "utf-16": ("an XML text", '<?xml version="1.0"?>\n<a/>'.encode("utf-16")),
}


def refusal(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path)
    return str(caught.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("kind", [*PICTURES, *OTHERS])
def test_a_file_saved_as_video_is_called_what_it_is(kind: str, tmp_path: Path) -> None:
    name, content = (PICTURES | OTHERS)[kind]
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    said = refusal(path)
    assert said.startswith(f"is {name}")
    assert ", not a video" in said
    assert ("answers for a picture" in said) == (kind in PICTURES)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"the clip is on the other disk\n" * 60, "it looks like text"),
        ("das Video fehlt\n".encode("utf-16") * 60, "it looks like text"),
        (bytes(9000), "its first 4096 bytes are zero, as after a copy that was broken off"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + NOISE, "it is damaged or cut off"),
        (b"\x1aE\xdf\xa3" + NOISE, "it is damaged or cut off"),
        (b"\xfe" + NOISE, "it is damaged, cut off, or of another kind"),
    ],
)
def test_what_is_of_no_known_kind_is_described(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    found = refusal(tmp_path / "clip.mp4")
    assert found.startswith(f"is not a video or sound file that can be read: {said}")


def test_a_container_cut_off_is_damaged_and_nothing_else(tmp_path: Path) -> None:
    whole = write_video(
        tmp_path / "whole.mp4", [grey_frame(n % 20) for n in range(99)]
    ).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert "it is damaged or cut off (" in refusal(tmp_path / "cut.mp4")


def test_a_video_of_jpegs_and_an_animated_gif_stay_videos(tmp_path: Path) -> None:
    frames = [Image.fromarray(grey_frame(n, 24, 32)) for n in range(3)]
    (tmp_path / "a.mjpeg").write_bytes(picture("JPEG") * 30)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    counts = {}
    for name in ("a.mjpeg", "a.gif"):
        counts[name] = sum(len(part) for part in VideoReader(tmp_path / name))
    assert counts == {"a.mjpeg": 30, "a.gif": 3}


@pytest.mark.parametrize(
    "make", [lambda n: b"<!>" * n, lambda n: b"<!---->" * n, lambda n: b"to: \n \n" * n]
)
def test_no_text_takes_long(make: Callable[[int], bytes]) -> None:
    started = time.monotonic()
    for text in (make(HEAD_BYTES), b"<!" + make(HEAD_BYTES)):
        describe_refused(text[:HEAD_BYTES], HEAD_BYTES, "")
    assert time.monotonic() - started < 1


def test_no_clip_is_taken_for_something_else(data: Path) -> None:
    clips = [
        path
        for path in (data / "clips").rglob("*")
        if re.search(r"\.(mp4|mov|avi|wav)$", path.name)
    ]
    assert clips
    for path in clips:
        with path.open("rb") as file:
            kind = recognise(file.read(HEAD_BYTES))
        assert kind is None, f"{path}: {kind}"
