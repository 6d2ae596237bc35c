"""The advice to make a clip of a folder's pictures, followed with ffmpeg itself."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cache.manifest.frame_folder import advise_to_join, join_command
from pipeline.media.frames import VideoReader


@pytest.mark.parametrize(
    ("folder", "names", "given"),
    [
        ("a b/c%", [f"f{n:04}.jpg" for n in range(3, 9)], "-start_number 3 -i 'a b/c%%/f%04d.jpg'"),
        ("c", [f"{n}.jpg" for n in range(1, 12)], "-start_number 1 -i c/%01d.jpg"),
        ("c", [f"{n:03}.JPG" for n in range(998, 1003)], "-start_number 998 -i c/%03d.JPG"),
        ("c[1]", ["001.jpg", "003.jpg"], "-pattern_type glob -i 'c[[]1]/*.jpg'"),
        ("c", ["x.png", "y.png"], "-pattern_type glob -i 'c/*.png'"),
        ("c", ["a1.png", "b2.png"], "-pattern_type glob -i 'c/*.png'"),
    ],
)
def test_numbers_without_gaps_are_a_pattern_and_other_names_a_glob(
    folder: str, names: list[str], given: str
) -> None:
    command = join_command([Path(folder, name) for name in sorted(names)])
    clip = shlex.quote(f"{folder}.mkv")
    assert command == f"ffmpeg -framerate RATE {given} -c:v ffv1 {clip}"


def test_the_first_folder_with_pictures_is_named(tmp_path: Path) -> None:
    assert advise_to_join(tmp_path) == ""
    for name in ("happy/b/1.jpg", "happy/a/1.jpg", "happy/a/2.jpg", "happy/a/._1.jpg", "x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert advise_to_join(tmp_path).startswith("; happy/a in it holds 2 pictures: if they are")
    assert advise_to_join(tmp_path / "happy" / "a").startswith("; it holds 2 pictures: ")
    assert advise_to_join(tmp_path / "happy" / "b") == ""
    assert advise_to_join(tmp_path / "nowhere") == ""


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is absent")
@pytest.mark.parametrize("names", ["{}.png", "100 %/{:03}.png", "[b]*/{}-7.png"])
def test_the_line_makes_a_clip_of_every_picture_in_order(names: str, tmp_path: Path) -> None:
    for number in range(5):
        file = tmp_path / "clip" / names.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((17, 23, 3), 40 * number, np.uint8)).save(file)
    command = advise_to_join(file.parent).split("`")[1].replace("RATE", "5")
    subprocess.run([*shlex.split(command), "-loglevel", "error"], check=True)
    frames = list(VideoReader(file.parent.with_name(file.parent.name + ".mkv")))
    assert [int(image.mean()) for part in frames for image in part.images] == [0, 40, 80, 120, 160]
    assert np.concatenate([part.times for part in frames]) == pytest.approx(np.arange(5) / 5)
