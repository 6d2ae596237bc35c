"""Compare two ways to pool over time, by speaker.

    python compare_poolings.py MANIFEST CACHE RUNS

Speakers are held out in turn, so that both runs are tested on every clip.
"""

import sys
from pathlib import Path

import trainer

manifest, folder, runs = sys.argv[1:]
poolings = ("mean", "self")
for pooling in poolings:
    trainer.train(
        manifest,
        cache=folder,
        run=Path(runs) / pooling,
        folds="speaker:3",
        settings={"fusion.kind": "video", "video.attention": pooling, "optim.epochs": 10},
    )
found = trainer.compare(*(Path(runs) / pooling for pooling in poolings))
low, high = found.interval
print(f"{poolings[1]} less {poolings[0]}: {found.difference:+.1%} of {found.n} clips")
print(f"95 % interval {low:+.1%} to {high:+.1%}, clips taken as independent; p {found.p_value:.3f}")
if found.by_speaker is None:
    print(found.not_by_speaker)
else:
    low, high = found.by_speaker.interval
    speakers, p = found.by_speaker.speakers, found.by_speaker.p_value
    print(f"95 % interval {low:+.1%} to {high:+.1%} over {speakers} speakers; p {p:.3f}")
