"""Words of a report that not every reader knows, each explained once."""

from __future__ import annotations

from collections.abc import Iterable

from ensemble.reporting.section import Term

SRCC = Term(
    "SRCC",
    "Spearman's rank correlation: 1 where predictions put clips or systems in the same "
    "order as people, 0 where they say nothing of it",
)
LCC = Term(
    "LCC", "Pearson's linear correlation: 1 where points lie on a rising straight line"
)
KTAU = Term(
    "KTAU",
    "Kendall's rank correlation: the share of pairs in the right order minus the share "
    "of pairs in the wrong one",
)
MSE = Term(
    "MSE",
    "mean squared error: the average of the squared distance between prediction and "
    "rating; its square root is in points of the scale; smaller is better",
)
METRIC_TERMS = (MSE, LCC, SRCC, KTAU)
"""What a leaderboard measures."""

UTTERANCE = Term("utterance", "a single clip; metrics of this level count each clip")
SYSTEM = Term(
    "system",
    "what made a clip, such as a version of a generator; metrics of this level compare "
    "means over its clips",
)
MI = Term("mi", "musical impression: how good a clip is as music (MusicEval)")
TA = Term("ta", "textual alignment: how well a clip fits its prompt (MusicEval)")


def aspect_terms(aspects: Iterable[str]) -> tuple[Term, ...]:
    """Explanations of the aspects that have short names."""
    named = set(aspects)
    return tuple(term for term in (MI, TA) if term.word in named)


STACK = Term("stack", "the combination of all base models, which is measured here")
BASE_MODEL = Term(
    "base model", "one of the models whose predictions the stack combines"
)
CONSTANT = Term(
    "constant",
    "the mean rating of the clips that were learnt from, given to every clip",
)
META_TRAINING = Term("meta-training", "rated clips that the measured stack learnt from")
META_VALIDATION = Term(
    "meta-validation",
    "rated clips of the same listening test, held out while the measured stack learnt",
)
ROWS_TERMS = (META_TRAINING, META_VALIDATION)
"""Names of the parts that rated clips are divided into."""

PIT = Term(
    "PIT",
    "probability integral transform: where a rating falls in its predicted "
    "distribution, 0.5 in the middle; all places are as frequent where distributions "
    "are right",
)
SHAPLEY = Term(
    "Shapley",
    "a fair share of a common gain: what a model adds, on average over all orders in "
    "which models could be added",
)
HOLM = Term(
    "Holm",
    "a rule that asks for more evidence the more questions are put, so that few "
    "differences are claimed that are not there",
)
P_VALUE = Term(
    "p", "how often chance alone would show a difference as large as this one"
)
INTERVAL = Term(
    "interval", "the range that holds the true value with the probability stated"
)
CRPS = Term(
    "CRPS",
    "continuous ranked probability score: how far a predicted distribution lies from "
    "the rating, in points of the scale; smaller is better",
)
RPS = Term("RPS", "the same in bins of the scale, squared; smaller is better")
LOG_SCORE = Term(
    "log score", "how unlikely the rating was by the prediction; smaller is better"
)
CEILING = Term(
    "noise ceiling",
    "what a perfect predictor would reach, since means of few raters are uncertain "
    "themselves",
)
RELIABILITY = Term(
    "reliability",
    "how well the means of other raters of the same clips would agree with these, from "
    "0 to 1",
)
RMSE = Term("RMSE", "root of the mean squared error, in points of the scale")
NATS = Term("nats", "a unit of probability on a logarithmic scale: 0.1 is about 10 %")
LEARNER = Term("learner", "the method that combines the base models")
