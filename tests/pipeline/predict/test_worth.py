"""Worth of an answer: counted from what was measured, and said in a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from extractors.weights.facts import WeightFacts
from pipeline.predict.worth import Worth, describe_worth, worth_of_clips, worth_of_weights

# Of 200 stills 130 are right; of 2 neutral ones 1 is, and 4 are called so. Fear isn't measured.
STILLS: dict[str, Any] = {
    "accuracy": 0.65,
    "num_images": 200,
    "split": "FER+ test",
    "interval": [0.581, 0.713],
    "recall": {"neutral": 0.5, "sadness": 0.4, "anger": 0.39, "contempt": 0.0, "fear": None},
    "confusion": [[1, 1, 0], [2, 9, 0], [1, 0, 9]],
}
FILM = {"clips": 19, "right": 7, "interval": [0.19, 0.59]}
FACTS = WeightFacts("resnet18", ("neutral", "sadness", "anger"), 24, grey=True, metrics=STILLS)


def test_a_weight_file_says_what_its_network_is_worth_on_stills_and_on_film() -> None:
    facts = replace(FACTS, metrics=STILLS | {"film": FILM})
    stills = (
        "Right on 65 % [58, 71] of 200 still photographs (FER+ test); neutral for 4 where 2 are; "
        "seldom finds angry."
    )
    assert describe_worth(worth_of_weights(facts, film=False)) == (stills,)
    film = "Right on 7 of 19 clips of film and television, 37 % [19, 59]."
    assert describe_worth(worth_of_weights(facts, film=True)) == (stills, film)
    assert worth_of_weights(facts, film=True).seldom_found == ("angry",)


def test_a_pull_to_neutral_is_said_from_one_and_a_half_times_as_many_on() -> None:
    for answered, is_said in ((5, False), (6, True)):
        film = FILM | {"neutral_answered": answered, "neutral_labelled": 4}
        facts = replace(FACTS, metrics={"film": film})
        (said,) = describe_worth(worth_of_weights(facts, film=True))
        assert (f"; neutral for {answered} where 4 are" in said) == is_said, said


def test_a_file_that_states_nothing_promises_nothing() -> None:
    worth = worth_of_weights(replace(FACTS, metrics={}), film=True)
    assert (worth, describe_worth(worth)) == (Worth(), ())
    assert worth.to_json() == {"measured": [], "seldom_found": []}


def test_a_run_is_worth_what_its_heads_did_on_clips_that_they_were_not_trained_on() -> None:
    figures = {
        "n": 150,
        "correct": 90,
        "confusion": [[30, 20, 0], [20, 60, 0], [20, 0, 0]],
        "recall": {"happy": 0.6, "neutral": 0.75, "odd": 0.0},
    }
    worth = worth_of_clips(figures, ("happy", "neutral", "odd"), [0.42, 0.71], "speakers")
    assert describe_worth(worth) == (
        "Right on 60 % [42, 71 by speaker] of 150 clips that its heads were tested on; seldom "
        "finds odd.",
    )
    (measured,) = worth.measured
    assert (measured.neutral_answered, measured.neutral_labelled) == (80, 80)
    assert worth_of_clips({"n": 0}, (), None, "each") == Worth()
