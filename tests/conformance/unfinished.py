"""Cells that avfuse doesn't fulfil yet: a part of the test's name, and the reason."""

from __future__ import annotations

UNFINISHED: dict[str, str] = {
    "test_a_cut_of_a_stream_is_part_of_the_whole": "a seek that finds nothing is the answer",
    "test_a_cut_of_sound_lies_where_the_whole_has_it": "fragments, seeks",
    "test_a_picture_alone_starts_at_0": "a Matroska's duration counts from 0, not from its start",
    "test_a_picture_has_the_shape": "ratios are not read",
    "test_a_ratio_that_changes": "ratios are not read",
    "test_a_cut_keeps_sound_and_picture": "fragments, seeks",
    "test_a_picture_is_stretched": "ratios are not read",
    "test_the_container_s_ratio": "ratios are not read",
    "test_a_picture_that_is_cut_off": "declared lengths are not compared",
    "test_sound_that_is_cut_off": "declared lengths are not compared",
    "test_extract_says_what_is_declared": "declared lengths are not compared",
    "test_extract_finds_nothing_missing": "an AVI's dropped frames count as missing",
    "test_a_whole_file_is_never_called_cut_off": "an AVI's dropped frames count as missing",
    "test_frames_that_an_avi_drops": "an AVI's dropped frames count as missing",
    "test_a_whole_file_has_the_frames": "times of AVIs with B-frames",
    "test_an_avi_with_b_frames": "times of AVIs with B-frames",
    "test_frames_of_any_rate": "times of AVIs with B-frames",
    "test_a_whole_stream_has_the_frames": "repeated stamps in program streams",
    "test_repeated_frames_of_theora": "empty packets end the stream",
    "test_sound_is_heard_in": "inverted channels cancel",
    "test_sound_stays_with_its_picture": "Opus' pre-skip; fragments; program streams",
}
