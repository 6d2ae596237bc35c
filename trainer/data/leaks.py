"""Features that know labels: sets made by an encoder that was itself trained on clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cache.digest import digest_json
from trainer.data.plan import Plan


def find_leaks(sets: Sequence[Mapping[str, Any]], plan: Plan) -> Iterator[str]:
    """Warn of folds whose test clips an encoder behind the features may have been trained on.

    Args:
        sets: every set behind the features, with its provenance; see ``trainer.data.available``.
        plan: the folds.
    """
    for item in sets:
        provenance = item["provenance"]
        if "trained_on" not in provenance:
            continue
        trained_on = provenance["trained_on"] or {}
        leaking = [
            fold.name
            for fold in plan.folds
            if digest_json([clip.clip for clip in fold.test]) != trained_on.get("test_clips")
            and digest_json([clip.clip for clip in fold.train]) != trained_on.get("train_clips")
        ]
        if leaking:
            tested = trained_on.get("fold", "clips that are not recorded")
            yield (
                f"the audio encoder behind {item['name']} was trained apart and tested on {tested};"
                f" it may have seen the test clips of {', '.join(leaking)}: their figures may leak"
            )
