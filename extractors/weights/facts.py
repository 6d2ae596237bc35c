"""Facts in a weight file's header: what its network was trained on, takes and tells apart."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from extractors.weights.class_names import name_classes
from extractors.weights.error import WeightsError

KEY = "avfuse"  # the name of the facts in a safetensors file's header, one JSON text
ALIASES = {"start": "from"}  # attributes whose key is no name in Python
OPTIONAL = frozenset({"from", "half", "versions", "temperature", "logit_bias"})
MAX_TEXT = 200_000
MAX_CLASSES = 1_000
MAX_NAME = 100
MAX_SIZE = 4_096  # pixels
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MAX_BIAS = 20.0


@dataclass(frozen=True)
class Framing:
    """Framing of the faces that a network was trained on, in the terms of ``CropSettings``.

    Attributes:
        extend: how much larger the images were than the aligned face, in total.
        lift: how far they reached up beyond that, as a share of the aligned face.
    """

    extend: float
    lift: float


@dataclass(frozen=True)
class WeightFacts:
    """Statement of a fine-tuned weight file about itself, so that it is fed as it was trained.

    This is the schema of the file's header: each attribute is a key of one JSON object. A key that
    is missing is refused, as is one that is not listed here; only those of ``OPTIONAL`` may be left
    out, which have their defaults then.

    Attributes:
        network: name in ``NETWORKS``.
        classes: of the classifier that the file holds, in order; empty if it holds none. FER+'s
            names for AFEW's seven are read as AFEW's.
        image_size: height and width of the images in training, in pixels.
        grey: whether the images had no colour.
        detail: height and width in pixels of what those images were enlarged from; 0 if they
            were not enlarged.
        framing: how much of a face and its surroundings they showed; None where that is unknown.
        seed: of the training; None where that is unknown.
        settings: of the training.
        data: what it was trained on, and under which licence.
        metrics: measured; ``accuracy`` is a share, with ``split`` and ``num_images``.
        start: what the training started from; the key is ``from``.
        half: whether matrices and kernels are stored in half precision.
        versions: of the programs that trained it.
        temperature: what the classifier's logits are divided by before they become probabilities,
            fitted so that these are neither too sure nor too cautious.
        logit_bias: what is added to the logits after that, one number a class in their order,
            such as against classes that the training images had too many of; empty for none.
            Neither changes an embedding, so keys of feature sets hold neither.
    """

    network: str
    classes: tuple[str, ...]
    image_size: int
    grey: bool
    detail: int = 0
    framing: Framing | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None
    half: bool | None = None
    versions: Mapping[str, Any] | None = None
    temperature: float = 1.0
    logit_bias: tuple[float, ...] = ()

    def to_metadata(self) -> dict[str, str]:
        """Return the header of a safetensors file that states these facts."""
        values = {ALIASES.get(name, name): value for name, value in asdict(self).items()}
        untold = {name: _DEFAULTS[name] for name in OPTIONAL}
        stated = {k: v for k, v in values.items() if k not in untold or v != untold[k]}
        return {KEY: json.dumps(stated, ensure_ascii=False, allow_nan=False, sort_keys=True)}

    @property
    def accuracy(self) -> str:
        """Measured accuracy in words; empty if nothing was measured."""
        value = self.metrics.get("accuracy")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            return ""
        text = f"{value:.2%}".replace("%", " %")
        split, count = self.metrics.get("split"), self.metrics.get("num_images")
        of = f" of {count:,} images" if isinstance(count, int) else ""
        return f"{text}{of}" + (f" of {plain(split)}" if isinstance(split, str) and split else "")


_DEFAULTS = {ALIASES.get(one.name, one.name): one.default for one in fields(WeightFacts)}
KEYS = frozenset(_DEFAULTS)


def read_facts(metadata: Mapping[str, str], path: Path) -> WeightFacts | None:
    """Read the facts in a safetensors file's header, and check each of them.

    Args:
        metadata: the header's texts.
        path: the file, for messages.

    Returns:
        None if the file was not written by avfuse's fine-tuning.

    Raises:
        WeightsError: the facts are not JSON, or one is missing, of another type or out of range.
    """
    text = metadata.get(KEY)
    if text is None:
        return None
    if len(text) > MAX_TEXT:
        raise WeightsError(
            f"{path}: its header has {len(text)} characters; at most {MAX_TEXT} are read"
        )
    try:
        values = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the description in its header is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: expected a JSON object under {KEY!r}, got {values!r:.40}")
    missing = KEYS - OPTIONAL - set(values)
    if missing:
        raise WeightsError(f"{path}: its header states no {', '.join(sorted(missing))}")
    unknown = set(values) - KEYS
    if unknown:
        raise WeightsError(
            f"{path}: its header states {plain(', '.join(sorted(unknown)))}, which this version of "
            "avfuse does not know"
        )
    try:
        classes = _classes(values["classes"])
        return WeightFacts(
            network=_name(values, "network"),
            classes=classes,
            image_size=_whole(values, "image_size", low=1),
            grey=_flag(values, "grey"),
            detail=_whole(values, "detail", low=0),
            framing=None if values["framing"] is None else _framing(values["framing"]),
            seed=None if values["seed"] is None else _whole(values, "seed", low=0, high=2**63),
            settings=_table(values, "settings"),
            data=_table(values, "data"),
            metrics=_table(values, "metrics"),
            start=_text(values, "from") if "from" in values else None,
            half=_flag(values, "half") if "half" in values else None,
            versions=_table(values, "versions") if "versions" in values else None,
            temperature=_temperature(values.get("temperature", 1.0)),
            logit_bias=_logit_bias(values.get("logit_bias", []), len(classes)),
        )
    except ValueError as error:
        raise WeightsError(f"{path}: its header states {error}") from None


def plain(text: str, most: int = MAX_NAME) -> str:
    """Return a text of unknown origin that can be printed: what would move a cursor is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} {value!r:.40}, expected a text")
    return value


def _name(values: Mapping[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_NAME:
        raise ValueError(f"{key} {value!r:.40}, expected a name")
    return value


def _classes(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > MAX_CLASSES:
        raise ValueError(f"classes {values!r:.40}, expected at most {MAX_CLASSES} names")
    names = tuple(_name({"classes": value}, "classes") for value in values)
    if len(set(names)) != len(names):
        raise ValueError(f"a class twice: {', '.join(names)[:80]}")
    return name_classes(names)


def _whole(values: Mapping[str, Any], key: str, *, low: int, high: int = MAX_SIZE) -> int:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{key} {value!r:.40}, expected a whole number from {low} to {high}")
    return value


def _flag(values: Mapping[str, Any], key: str) -> bool:
    value = values[key]
    if not isinstance(value, bool):
        raise ValueError(f"{key} {value!r:.40}, expected true or false")
    return value


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values[key]
    if not isinstance(value, dict):
        raise ValueError(f"{key} {value!r:.40}, expected an object")
    return value


def _temperature(value: Any) -> float:
    if not _is_real(value) or not MIN_TEMPERATURE <= value <= MAX_TEMPERATURE:
        raise ValueError(
            f"temperature {value!r:.40}, expected a number from {MIN_TEMPERATURE} to "
            f"{MAX_TEMPERATURE}"
        )
    return float(value)


def _logit_bias(value: Any, num_classes: int) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not all(_is_real(one) and abs(one) <= MAX_BIAS for one in numbers):
        raise ValueError(
            f"logit_bias {value!r:.80}, expected numbers from {-MAX_BIAS} to {MAX_BIAS}"
        )
    if len(numbers) not in (0, num_classes):
        raise ValueError(f"logit_bias of {len(numbers)} numbers for {num_classes} classes")
    return tuple(map(float, numbers))


def _is_real(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) < math.inf  # of integers that no float can hold too


def _framing(value: Any) -> Framing:
    if not isinstance(value, dict) or set(value) != {"extend", "lift"}:
        raise ValueError(f"framing {value!r:.60}, expected extend and lift")
    numbers = [value["extend"], value["lift"]]
    # The limits of CropSettings.
    for number, low, high in zip(numbers, (0, -1), (4, 1), strict=True):
        if not _is_real(number) or not low <= number <= high:
            raise ValueError(
                f"framing {value!r:.60}, expected extend from 0 to 4 and lift from -1 to 1"
            )
    return Framing(float(numbers[0]), float(numbers[1]))
