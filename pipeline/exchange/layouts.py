"""Layouts of well-known tools: the columns in which each writes ids, times, faces and features."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.exchange.settings import Format, ImportSettings


@dataclass(frozen=True)
class Layout:
    """Layout of one tool's files. Of columns it names those that there may be.

    Args:
        tool: its name in messages.
        format: of its files.
        columns: what becomes features, with ``*``; empty: all that have no other role.
        ids: columns that may name the clip of each row, where one file is of many clips.
        no_id: the id that the tool writes where it was given none.
        times: columns that may hold the time in seconds.
        frames: the column of the frame's number, counted for a time where there is a rate.
        first_frame: the number of the first frame.
        others: more columns that are no features.
        found: the condition on rows in which there is something.
        lost: what is not in the others.
        face: the column that tells a clip's faces apart.
        score: the column of a face's score.
        repeats: rows at a clip's end that the tool may give a time that another row has.
        without_times: what to do where several rows have no time.
    """

    tool: str
    format: Format
    columns: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    no_id: str = ""
    times: tuple[str, ...] = ()
    frames: str = ""
    first_frame: int = 0
    others: tuple[str, ...] = ()
    found: str = ""
    lost: str = ""
    face: str = ""
    score: str = ""
    repeats: int = 0
    without_times: str = "give --time-column, or --rate, or both"

    @property
    def no_features(self) -> tuple[str, ...]:
        """Columns that are no features."""
        more = (self.frames, self.face, self.score, *self.others)
        return (*self.ids, *self.times, *filter(None, more))


PLAIN = Layout("", "csv")
LAYOUTS = {
    # FeatureExtraction and FaceLandmarkVidMulti 2.x (and 1.x, 0.x, without face_id): a csv a clip.
    "openface": Layout(
        tool="OpenFace",
        format="csv",
        columns=("gaze_*", "pose_*", "AU*_r", "AU*_c"),
        times=("timestamp",),
        frames="frame",
        first_frame=1,
        found="success=1",
        lost="a face that OpenFace was sure of",
        face="face_id",
        without_times="give the frames a second by --rate",
    ),
    # SMILExtract: name;frameTime;... with the id as 'id'. opensmile-python: file,start,end,...
    "opensmile": Layout(
        tool="openSMILE",
        format="csv",
        ids=("name", "file"),
        no_id="unknown",
        times=("frameTime", "start"),
        frames="frameIndex",
        others=("frameLength", "end"),
        repeats=4,  # of deltas, which a clip's end is filled up for
        without_times="give the steps a second by --rate (100 for steps of 10 ms)",
    ),
    # Fex.to_csv of 0.4 to 2.1. Its approx_time is in whole seconds, so that frames are counted.
    "pyfeat": Layout(
        tool="py-feat",
        format="csv",
        columns=(
            *("AU*", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
            *("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
            *("valence", "arousal", "Pitch", "Roll", "Yaw", "gaze_*"),
        ),
        ids=("input",),
        frames="frame",
        found="FaceScore>=0",
        lost="a face",
        face="Identity",
        score="FaceScore",
        without_times="py-feat writes times in whole seconds only; give the video's frames a "
        "second by --rate",
    ),
    # MMSA and MMSA-FET: id and modalities (N, T, D) for each part of the corpus.
    "mmsa": Layout(
        tool="MMSA",
        format="npz",
        without_times="MMSA keeps no times; give the steps a second by --rate",
    ),
}


def layout_of(settings: ImportSettings) -> Layout:
    """Return the layout that settings name, or one that leaves everything open."""
    return LAYOUTS[settings.like] if settings.like else PLAIN
