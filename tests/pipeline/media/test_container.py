from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.container import MediaError, check_file, probe
from pipeline.media.frames import VideoReader
from pipeline.media.settings import DecodeSettings
from tests.pipeline.videos import (
    HEIGHT,
    WIDTH,
    grey_frame,
    numbers_of,
    read_all,
    write_video,
    write_wav,
)

SETTINGS = DecodeSettings()


def refusal(path: Path) -> str:
    with pytest.raises(MediaError) as error:
        probe(path)
    return str(error.value)


def test_headers_say_what_is_in_a_file(tmp_path: Path) -> None:
    sound = np.zeros((2, 8000), np.float32)
    path = write_video(tmp_path / "a.mp4", [grey_frame(i) for i in range(7)], sound=sound)
    info = probe(path)
    assert info.path == path
    assert info.has_video
    assert info.has_audio
    assert info.declared_frames == 7
    assert info.video is not None
    assert info.video.frame_size == (HEIGHT, WIDTH)
    assert info.video.frame_rate == 25.0
    assert info.audio is not None
    assert (info.audio.sample_rate, info.audio.num_channels) == (16_000, 2)
    assert info.duration_seconds == pytest.approx(0.5, abs=0.1)


def test_frames_of_a_part_are_expected_by_their_rate(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "a.mp4", [grey_frame(i) for i in range(23)]))  # 25 a second
    assert info.expect_frames(WHOLE_FILE) == 23
    assert info.expect_frames(Span(0.2, 0.44)) == pytest.approx(6)
    assert info.expect_frames(Span(0.48)) == pytest.approx(11, abs=1)
    undeclared = write_video(tmp_path / "a.mkv", [grey_frame(i) for i in range(23)])
    assert probe(undeclared).declared_frames is None
    assert probe(undeclared).expect_frames(WHOLE_FILE) == pytest.approx(23, abs=1)
    sound = probe(write_wav(tmp_path / "a.wav", np.zeros((1, 160), np.float32), 16_000))
    assert sound.expect_frames(WHOLE_FILE) == 0


def test_a_file_of_sound_alone_has_no_video(tmp_path: Path) -> None:
    info = probe(write_wav(tmp_path / "a.wav", np.zeros((1, 160), np.float32), 16_000))
    assert not info.has_video
    assert info.declared_frames is None


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    def attach(stream: av.VideoStream) -> None:
        stream.disposition = Disposition.attached_pic

    path = write_video(
        tmp_path / "song.mp4", [grey_frame(3)], codec="mjpeg", pix_fmt="yuvj420p", prepare=attach,
        sound=np.zeros((1, 8000), np.float32),
    )  # fmt: skip
    info = probe(path)
    assert not info.has_video
    assert info.has_audio


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone.mp4").endswith("gone.mp4 does not exist")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a directory; a clip is one file" in refusal(tmp_path)


def test_a_pipe_is_refused_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is not a regular file" in refusal(tmp_path / "pipe.mp4")


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # tests may run as root, whom nothing is denied
    with pytest.raises(MediaError, match="can't be read: permission denied"):
        check_file(tmp_path / "a.mp4")


def test_a_file_that_fails_to_read_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(MediaError, match="Input/output error"):
        check_file(tmp_path / "a.mp4")


def test_a_machine_with_too_many_open_files_does_not_blame_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", [grey_frame(1)])

    def exhausted(*args: object, **kwargs: object) -> None:
        raise av.error.OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("pipeline.media.container.av.open", exhausted)
    with pytest.raises(av.error.OSError, match="Too many open files"):
        probe(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert refusal(tmp_path / "a.mp4").endswith("is empty (0 bytes)")


def test_a_git_lfs_pointer_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert re.search("Git LFS pointer.*run `git lfs pull`", refusal(tmp_path / "a.mp4"))


def test_text_named_mp4_looks_like_text(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("clip,path\n" * 300)
    assert "not a video or sound file that can be read: it looks like text" in refusal(
        tmp_path / "a.mp4"
    )


def test_noise_named_mp4_is_damaged_or_of_another_kind(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    (tmp_path / "a.mp4").write_bytes(noise)
    assert "damaged, cut off, or of another kind" in refusal(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(noise[:500])
    assert "it has only 500 bytes" in refusal(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n", "ffconcat version 1.0\nfile {}\n"],
)
def test_a_playlist_can_not_make_another_file_be_read(tmp_path: Path, playlist: str) -> None:
    secret = write_video(tmp_path / "secret.mp4", [grey_frame(1)])
    (tmp_path / "a.mp4").write_text(playlist.format(secret))
    assert "not a video or sound file" in refusal(tmp_path / "a.mp4")


def test_a_picture_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "rgb24"
        frame = av.VideoFrame.from_ndarray(grey_frame(1), format="rgb24")
        container.mux(stream.encode(frame))
    assert "is a PNG picture, not a video" in refusal(tmp_path / "a.png")


def test_a_name_that_ffmpeg_takes_for_a_command_is_a_name(tmp_path: Path) -> None:
    path = write_video(tmp_path / "concat:b.mp4", [grey_frame(1)])
    assert probe(path).declared_frames == 1


@pytest.mark.parametrize("name", sorted(vars(SETTINGS)))
def test_a_limit_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        DecodeSettings(**{name: 0})


def test_sound_and_picture_share_the_earlier_start_as_origin(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", [grey_frame(i) for i in range(5)],
        pts=[2000 * 25 + 1000 * i for i in range(5)],  # the picture starts at 2 s, the sound at 0.5
        sound=np.zeros((1, 16_000), np.float32), sound_start=0.5,
    )  # fmt: skip
    info = probe(path)
    assert info.origin == pytest.approx(0.5, abs=0.01)
    assert info.audio is not None
    assert info.video is not None
    assert info.audio.start_seconds == pytest.approx(0.0, abs=0.001)
    assert info.video.start_seconds == pytest.approx(1.5, abs=0.01)


class Pipe:
    """A place to write that can't be gone back in."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


def test_an_avi_written_into_a_pipe_declares_nothing(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.avi", [grey_frame(i) for i in range(5)], codec="mpeg4")
    assert 5 <= (probe(source).declared_frames or 0) < 1000
    pipe = Pipe()
    with av.open(str(source)) as reading, av.open(pipe, "w", format="avi") as writing:
        stream = writing.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.size:
                packet.stream = stream
                writing.mux(packet)
    path = tmp_path / "b.avi"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 1 << 28
    info = probe(path)
    assert (info.declared_frames, info.duration_seconds) == (None, None)
    reader = VideoReader(path)
    assert numbers_of(read_all(reader)) == [0, 1, 2, 3, 4]
    assert reader.problems == []
