"""Names of the classes: those of AFEW for its seven, whatever a corpus or a weight file says."""

from __future__ import annotations

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
# Calm, excited, worried and others are none of the seven, and keep their names.
_NAMES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def name_class(name: str) -> str:
    """Return what a class is called here; parts joined by ``_`` are named each for itself."""
    return "_".join(_NAMES.get(part, part) for part in name.split("_"))


def name_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what classes are called here; as they are where two would get one name."""
    named = tuple(map(name_class, names))
    return named if len(set(named)) == len(names) else names
