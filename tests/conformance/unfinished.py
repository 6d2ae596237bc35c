"""Cells that avfuse doesn't fulfil yet: a part of the test's name, and the reason."""

from __future__ import annotations

UNFINISHED: dict[str, str] = {
    "test_a_cut_of_a_stream_is_part_of_the_whole": "a seek that finds nothing is the answer",
    "test_a_picture_has_the_shape": "ratios are not read",
    "test_a_picture_is_stretched": "ratios are not read",
    "test_the_container_s_ratio": "ratios are not read",
    "test_a_whole_file_has_the_frames": "times of AVIs with B-frames",
    "test_an_avi_with_b_frames": "times of AVIs with B-frames",
    "test_frames_of_any_rate": "times of AVIs with B-frames",
    "test_a_whole_stream_has_the_frames": "repeated stamps in program streams",
    "test_repeated_frames_of_theora": "empty packets end the stream",
    "test_a_whole_file_is_never_called_cut_off[mpg]": "repeated stamps in program streams",
    "test_sound_stays_with_its_picture[mp2 in ps": "repeated stamps in program streams",
}
