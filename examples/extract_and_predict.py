"""From a folder to an answer.

    python extract_and_predict.py CLIPS OUT VIDEO

CLIPS has one subfolder of videos per class. OUT gets manifest, cache and run; run it again after
adding clips, and only those are extracted.
"""

import sys
from pathlib import Path

import pipeline
import trainer

clips, out, video = map(Path, sys.argv[1:])
manifest, folder = out / "manifest.csv", out / "cache"
summary = pipeline.index_corpus("folder", clips, out=manifest, overwrite=True)
print(f"{summary.num_clips} clips: {dict(summary.labels)}")
for finding in pipeline.diagnose_corpus(manifest, sample=4).findings:
    print(f"{finding.severity}: {finding.text}")
extracted = pipeline.extract_features(manifest, cache=folder)
for clip in extracted.failed:
    print(f"{clip.clip} failed: {clip.reason}")
run = trainer.train(manifest, cache=folder, run=out / "run", folds="clip:3", overwrite=True)
print(f"accuracy on held-out clips: {run.metrics['all']['ensemble']['accuracy']:.0%}")
for name, answer in (
    ("this run", pipeline.predict_videos(video, run=run)),
    ("the network that comes with avfuse", pipeline.predict_videos(video)),
):
    (one,) = answer["videos"]
    print(f"{video.name} by {name}: {one['prediction'] or ', '.join(one['why'])}")
