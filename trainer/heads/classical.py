"""Heads that are no networks: fitted at once to one vector a clip, and stored as coefficients.

They stand in a network's place: the same steps in, logits out. Each modality is pooled without
learning, cut off at ``head.largest`` deviations, and put beside the other or, for late fusion,
classified apart. What a clip without a modality gets is what it gets from a network: numbers of 0,
which is the mean of the training clips, or with late fusion the other modality's probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainer.attention import make_pooling
from trainer.data.sequences import Steps
from trainer.heads.head import HeadOutput, check_shapes, join_logits
from trainer.settings import HeadSettings

FUSED = "fused"
# Logarithm of the probability of a class that no training clip has.
ABSENT = -30.0


class LinearScores(nn.Module):
    """Scores as a linear function of a clip's vector: of a discriminant, or a logistic regression.

    Shapes (B clips, D numbers, K classes that training clips have): (B, D) to (B, K), float64.

    Args:
        dim: D.
        num_present: K.
    """

    coefficients: Tensor
    intercept: Tensor

    def __init__(self, dim: int, num_present: int) -> None:
        super().__init__()
        self.register_buffer("coefficients", torch.zeros(num_present, dim, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros(num_present, dtype=torch.float64))

    def forward(self, vectors: Tensor) -> Tensor:
        """Score each clip; shapes are in the class docstring."""
        return vectors @ self.coefficients.T + self.intercept


class KernelScores(nn.Module):
    """Scores by a support vector machine for each pair of classes, which vote.

    A class's score is its votes over all pairs, plus its summed margins squeezed into a third of a
    vote either way. Of two classes it is half the margin.

    Shapes (B clips, D numbers, S support vectors, K classes that training clips have, P pairs of
    them): (B, D) to (B, K), float64.

    Args:
        dim: D.
        num_present: K.
        num_support: S.
        kernel: "rbf" or "linear".
        sharpness: what a vote counts.

    Source:
        Chang, Lin, "LIBSVM: A Library for Support Vector Machines", 2011, section 7; the squeezed
        margins are those of scikit-learn's ``decision_function_shape="ovr"``.
    """

    support: Tensor
    duals: Tensor
    intercept: Tensor
    gamma: Tensor

    def __init__(
        self, dim: int, num_present: int, num_support: int, kernel: str, sharpness: float
    ) -> None:
        super().__init__()
        num_pairs = num_present * (num_present - 1) // 2
        self.num_present = num_present
        self.kernel = kernel
        self.sharpness = sharpness
        self.register_buffer("support", torch.zeros(num_support, dim, dtype=torch.float64))
        self.register_buffer("duals", torch.zeros(num_support, num_pairs, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros(num_pairs, dtype=torch.float64))
        self.register_buffer("gamma", torch.zeros((), dtype=torch.float64))

    def forward(self, vectors: Tensor) -> Tensor:
        """Score each clip; shapes are in the class docstring."""
        products = vectors @ self.support.T
        if self.kernel == "rbf":
            squares = vectors.square().sum(dim=1, keepdim=True) + self.support.square().sum(dim=1)
            products = (-self.gamma * (squares - 2 * products).clamp(min=0)).exp()
        margins = products @ self.duals + self.intercept  # (B, P), positive for the first class
        if self.num_present == 2:
            return torch.cat([margins, -margins], dim=1) * (self.sharpness / 2)
        places = torch.triu_indices(self.num_present, self.num_present, 1, device=margins.device)
        votes, sums = margins.new_zeros(2, len(margins), self.num_present)
        for place, won, sign in zip(places, (margins >= 0, margins < 0), (1, -1), strict=True):
            votes.index_add_(1, place, won.to(votes.dtype))
            sums.index_add_(1, place, sign * margins)
        scores: Tensor = votes + sums / (3 * (sums.abs() + 1))
        return self.sharpness * scores


class ClassicalHead(nn.Module):
    """Classify clips by coefficients that were fitted at once.

    Shapes: see ``trainer.heads.head.Head``; logits are logarithms of probabilities, float64.

    Args:
        settings: which pooling, fusion and kind.
        shapes: modality -> shape of one step's features, (D,).
        num_classes: C.
        state: the coefficients by name; None for a head that is still to be fitted, which has
            ``vectors`` alone.

    Raises:
        ValueError: a modality that the fusion uses has no shape, steps are no vectors, or the
            coefficients are not exactly those of such a head.
    """

    def __init__(
        self,
        settings: HeadSettings,
        shapes: Mapping[str, tuple[int, ...]],
        num_classes: int,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        check_shapes(settings, shapes)
        self.num_classes = num_classes
        poolings = {
            name: make_pooling(settings.modality(name).attention, shapes[name][0], hidden_dim=1)
            for name in settings.modalities
        }
        self.poolings = nn.ModuleDict(poolings)
        self.limits = {
            name: settings.head.largest if settings.modality(name).normalise != "none" else 0.0
            for name in settings.modalities
        }
        self.weights = dict.fromkeys(settings.modalities, 1.0)
        self.dims = {name: pooling.out_dim for name, pooling in poolings.items()}
        if settings.fusion.kind == "concat":
            self.weights["video"] = settings.head.video_weight
            self.dims = {FUSED: sum(self.dims.values())}
        self.scores = nn.ModuleDict()
        self.present: dict[str, Tensor] = {}
        if state is not None:
            self._load(settings, state)

    def _load(self, settings: HeadSettings, state: Mapping[str, Tensor]) -> None:
        """Take the coefficients; nothing is allocated for sizes that they don't have."""
        rest = dict(state)
        for name, dim in self.dims.items():
            present = rest.pop(f"present.{name}", None)
            if present is None or not _are_classes(present, self.num_classes):
                raise ValueError(f"present.{name} does not name classes in their order")
            self.present[name] = present
            sizes = dim, len(present)
            with torch.device("meta"):
                if settings.head.kind == "svm":
                    support = rest.get(f"scores.{name}.support")
                    self.scores[name] = KernelScores(
                        *sizes,
                        0 if support is None else len(support),
                        settings.head.kernel,
                        settings.head.sharpness,
                    )
                else:
                    self.scores[name] = LinearScores(*sizes)
        wrong = [name for name, value in rest.items() if value.dtype != torch.float64]
        if wrong:
            raise ValueError(f"{wrong[0]} is {rest[wrong[0]].dtype}, expected torch.float64")
        self.load_state_dict(rest, assign=True)  # strict: names what is missing, extra or misshapen
        for name, scores in self.scores.items():
            if isinstance(scores, KernelScores) and scores.gamma < 0:
                raise ValueError(f"scores.{name}.gamma must not be negative, got {scores.gamma:g}")

    def vectors(
        self, video: Steps | None = None, audio: Steps | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what is classified: part -> (B, D), float64; and modality -> (B, T) weights.

        Raises:
            ValueError: the steps of a modality that the head uses are missing.
        """
        given = {"video": video, "audio": audio}
        pooled: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, pooling in self.poolings.items():
            steps = given[name]
            if steps is None:
                raise ValueError(f"this head needs the steps of {name}, got None")
            vector, weights[name] = pooling(*steps)
            if self.limits[name]:
                vector = vector.clamp(-self.limits[name], self.limits[name])
            pooled[name] = self.weights[name] * vector.double()
        if FUSED in self.dims:
            pooled = {FUSED: torch.cat(list(pooled.values()), dim=1)}
        return pooled, weights

    def forward(self, video: Steps | None = None, audio: Steps | None = None) -> HeadOutput:
        """Classify each clip.

        Raises:
            ValueError: see ``vectors``.
        """
        vectors, weights = self.vectors(video, audio)
        logits = {}
        for name, part in vectors.items():
            known = self.scores[name](part).log_softmax(dim=1)
            everything = known.new_full((len(known), self.num_classes), ABSENT)
            logits[name] = everything.index_copy(1, self.present[name].to(known.device), known)
        return join_logits(logits, weights)


def _are_classes(present: Tensor, num_classes: int) -> bool:
    """Whether whole numbers are at least two different classes, in their order."""
    if present.ndim != 1 or present.dtype != torch.int64 or not 2 <= len(present) <= num_classes:
        return False
    inside = int(present[0]) >= 0 and int(present[-1]) < num_classes
    return inside and bool((present.diff() > 0).all())
