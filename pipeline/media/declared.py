"""Cut-off picture and sound: streams that end before the length that their file declares.

A stream's own declared length comes first: MP4's tables, the counts of AVI and FLAC, the size of a
sound file's data, the tags that Matroska's writers leave. Where only the file's length is declared,
a stream that ends well before the other one is shorter by design. FFmpeg's durations aren't used
where it estimates them from a rate of bits, or measures them at the end of what is there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import av
from av.container import InputContainer

from cache.manifest.span import WHOLE_FILE, Span
from pipeline.media.container import (
    MediaError,
    MediaInfo,
    audio_stream,
    open_media,
    readable,
    video_stream,
)
from pipeline.media.packets import Faults, demuxed
from pipeline.media.settings import DecodeSettings
from pipeline.media.sizes import Shortage, find_shortage

# Seconds. An end of sound is exact but for containers that round to milliseconds; Matroska's tags
# count the padding of a codec's last frame. A picture's last frame may not say how long it lasts,
# and AVI counts the frames by which a decoder is late.
SOUND_TOLERANCE = 0.01
TAG_TOLERANCE = 0.065
PICTURE_TOLERANCE = 0.5  # frames
AVI_TOLERANCE = 1.5
INTERLEAVED = 0.5  # seconds; what a cut hits lies side by side in the file, and ends together
# Where no byte is missing a header's count alone speaks, and that of joined files is a bit off.
MISSING_SECONDS = 1.0


def find_cut_off(
    info: MediaInfo,
    settings: DecodeSettings,
    kind: Literal["picture", "sound"],
    span: Span = WHOLE_FILE,
    end: float | None = None,
) -> str | None:
    """Say where a stream ends, if that is before its declared length and before the clip's end.

    Args:
        info: the file.
        settings: limits and threads.
        kind: the stream.
        span: the part of the file that is the clip.
        end: seconds from the file's start at which what was decoded ends; None if nothing was.

    Returns:
        The sentence, with seconds from the file's start; None where nothing is cut off.

    Raises:
        MediaError: the file can't be opened any more.
    """
    with readable(info.path):
        shortage = find_shortage(info.path, info.container)
    wanted = math.inf if span.end is None else span.end
    is_avi, is_matroska = info.container == "avi", info.container.startswith("matroska")
    tolerance = TAG_TOLERANCE if is_matroska else SOUND_TOLERANCE
    if kind == "picture":
        frames = AVI_TOLERANCE if is_avi else PICTURE_TOLERANCE
        tolerance = frames / ((info.video and info.video.frame_rate) or 25.0)
    here = 0.0 if end is None else end
    if shortage is not None and shortage.index:
        return "the file's index is cut off: frames, or a whole stream, may be missing"
    if shortage is None or here + tolerance >= wanted:
        return None
    with open_media(info.path, settings) as container:
        streams = {"picture": video_stream(container), "sound": audio_stream(container)}
        stream = streams[kind]
        if stream is None or stream.index in (shortage.ended or ()):
            return None
        declared, own = _declared_end(container, stream, shortage)
        declared -= info.origin
        if shortage.counted and info.container != "flac":
            tolerance = MISSING_SECONDS
        if here + tolerance >= min(wanted, declared):
            return None
        ends = measure_ends(info.path, container, info.origin)
        here = max(here, ends.get(stream.index, 0.0))
        beside = max(ends.get(one.index, 0.0) for one in streams.values() if one)
    if here + tolerance >= min(wanted, declared):
        return None
    if not own:
        if shortage.ended is None and here < beside - INTERLEAVED:
            return None
        # Subtitles, or another sound, may be what lasts so long.
        last = max(here, *ends.values(), 0.0)
        if not shortage.media and not last + tolerance < declared < math.inf:
            return None
    if not here < declared < math.inf:
        return f"the {kind} ends at {here:.2f} s, where the file is cut off (no length is declared)"
    return f"the {kind} ends at {here:.2f} s of {declared:.2f} s declared"


def check_any_stream(info: MediaInfo) -> None:
    """Refuse a file of which no stream can be used.

    Raises:
        MediaError: there is neither picture nor sound; says so if the file is cut off.
    """
    if info.video is None and info.audio is None:
        with readable(info.path):
            shortage = find_shortage(info.path, info.container)
        why = ": it is cut off" if shortage and not shortage.counted else ""
        raise MediaError(f"{info.path} has neither picture nor sound{why}")


def measure_ends(path: Path, container: InputContainer, origin: float) -> dict[int, float]:
    """Measure where the streams of a file end, by their packets; nothing is decoded.

    Args:
        path: the file.
        container: the same, open, of which nothing was read yet.
        origin: seconds by the file's stamps that count as zero.

    Returns:
        Seconds at which the last whole packet ends, by the stream's index.
    """
    ends: dict[int, float] = {}
    for packet in demuxed(container, Faults("file", path)):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.is_corrupt or packet.time_base is None:
            continue
        end = float((stamp + (packet.duration or 0)) * packet.time_base) - origin
        index = packet.stream.index
        ends[index] = max(ends.get(index, end), end)
    return ends


def _declared_end(container: InputContainer, stream: Any, shortage: Shortage) -> tuple[float, bool]:
    """Return the declared end by the file's stamps, and whether it is the stream's own.

    It is infinite where nothing is declared, and the file's end where that alone is.
    """
    name = container.format.name.partition(",")[0]
    start = float((stream.start_time or 0) * stream.time_base)
    if shortage.num_bytes is not None:
        rate = stream.codec_context.bit_rate
        return (start + 8 * shortage.num_bytes / rate, True) if rate else (math.inf, False)
    if name == "avi" and stream.frames and not (shortage.counted and stream.type == "audio"):
        return start + float(stream.frames * stream.time_base), True
    if name in ("mov", "mp3", "flac", "mxf") and stream.duration and not shortage.media:
        return start + float(stream.duration * stream.time_base), True
    if name == "matroska" and container.duration:
        whole = container.duration / av.time_base
        tagged = _tagged_end(stream.metadata.get("DURATION", ""))
        # A tag may be left over from another file: the file's length has to bear it out.
        if not shortage.counted and 0 < tagged <= whole + 0.1:
            return tagged, True
        return whole, False
    return (math.inf if shortage.seconds is None else shortage.seconds), False


def _tagged_end(text: str) -> float:
    """Read ``00:00:02.423000000``; 0 if it is anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return 0.0
