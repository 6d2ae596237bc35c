"""Runs of heads: training them, their folder, and the report of what they predict.

Words for what comes out of a run:
    predictions: a probability of each class for each clip; ``predictions.csv``, ``members/*.csv``.
    metrics: accuracy, UAR, F1, recall and confusion of some predictions (``Metrics``).
    report: the metrics of all members and folds as one JSON object; ``metrics.json``.
    terminal: the report as text. page: the run as one HTML page.
    info: what is known of a run besides: settings, folds, sets, warnings; ``run.json``.
    history: one row per epoch of every head; ``history.csv``.
"""
