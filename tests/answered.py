"""Scored clips and compared systems for reports, without a stack that made them."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from base_models.bins import ScoreBins
from ensemble.formats import Distributions
from ensemble.reporting.answers.answer_content import AnswerContent, Background
from meta.comparison.systems.compare_systems import ScoredSystems, compare_systems
from meta.powered_means.rated_sample import RatedSample
from meta.score_columns import STACK, bin_columns

STACK_KNOWN = Background(stack="stack-1", learnt_from=120)


def answer(n_systems=3, clips_each=12, *, seed=0, gap=0.5, **changes):
    """Clips of systems v0, v1 … whose scores fall by `gap` from one to the next."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"{system}-{k}", f"v{system}", f"prompt {k}")
        for system in range(n_systems)
        for k in range(clips_each)
    ]
    frame = pd.DataFrame(rows, columns=["clip_id", "system_id", "prompt"])
    place = np.repeat(np.arange(n_systems), clips_each)
    scores = np.clip(4.2 - gap * place + rng.normal(0, 0.15, len(frame)), 1, 5)
    frame = frame.assign(mos=scores, mos_low=scores - 0.6, mos_high=scores + 0.6)
    content = AnswerContent(frame=frame, aspects=("mos",), background=STACK_KNOWN)
    return replace(content, **changes)


def compared(content):
    """The same with a comparison of its systems."""
    aspects = {}
    for aspect in content.aspects:
        clips = content.frame.rename(columns={aspect: "prediction"})
        clips = clips[clips["prediction"].notna()].reset_index(drop=True)
        no_ratings = pd.DataFrame({"clip_id": [], aspect: []})
        sample = RatedSample.from_tables(clips, no_ratings, aspect)
        aspects[aspect] = ScoredSystems(sample, ScoreBins())
    return replace(content, comparison=compare_systems(aspects))


def with_distributions(content):
    """The same with a distribution around every score."""
    bins = ScoreBins()
    parts = []
    for aspect in content.aspects:
        scores = content.frame[aspect].to_numpy()
        bodies = bins.gaussians(scores, np.full(len(scores), 0.5))
        names = bin_columns(aspect, bins.count)
        parts.append(pd.DataFrame(bodies, columns=names).assign(**{aspect: scores}))
    frame = pd.concat(parts, axis=1)
    frame = frame.assign(clip_id=content.frame["clip_id"], model=STACK)
    return replace(content, distributions=Distributions(frame, content.aspects, bins))


def texts(sections):
    """All that sections say outside of tables, in one text."""
    parts = [
        (section.title, *(p.text for p in section.paragraphs), *section.points)
        for section in sections
    ]
    return "\n".join(itertools.chain.from_iterable(parts))
