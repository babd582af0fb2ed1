"""``predict_mos --pairs``: score both clips of each pair, and say which is better."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.errors import UsageError, one_of, some
from base_models.files import nan_to_none
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    Screen,
    say,
    say_notes,
    say_problem,
)
from ensemble.cli.shared.output.output_files import (
    STDOUT,
    check_outputs,
    put_data,
    put_json,
    table_format,
)
from ensemble.cli.shared.output.score_output import say_audio, say_range
from ensemble.cli.shared.pairs.pair_options import parse_weights
from ensemble.cli.shared.saved_stacks.scoring_runs import workers_of
from ensemble.cli.shared.saved_stacks.stacks import load_stack, stack_source
from ensemble.cli.shared.saved_stacks.windows import score_with
from ensemble.screen.literal import without_common_start
from ensemble.screen.streams import is_stdout_taken
from ensemble.screen.tables import LiteralTable

if TYPE_CHECKING:
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.formats import Scores
    from ensemble.scoring.pairs.compare_pairs import ComparedPairs
    from ensemble.scoring.pairs.pair_table import PairTable

MIREX, REWARDBENCH = "mirex", "rewardbench"
_LINES = (MIREX, REWARDBENCH)
_TABLES = ("csv", "jsonl", "parquet")
_MOST_LISTED = 20


def compare_pairs_of(options: Namespace) -> int:
    """Compare the pairs that the options name, and put out what is preferred."""
    from ensemble.scoring.pairs.compare_pairs import compare_pairs
    from ensemble.scoring.pairs.pair_table import read_pairs

    form = _format(options)
    check_outputs(
        {"--out": options.out, "--json": options.json},
        inputs=(options.pairs, *(options.predictions or ())),
    )
    table = read_pairs(
        options.pairs,
        options.columns,
        options.audio_root,
        are_files=not options.predictions,
    )
    say_notes(table.notes)
    # Before the stack is loaded, since it makes the paths to load from absolute.
    source = stack_source(options)
    stack, store = load_stack(options)
    if options.predictions:
        scores = _predicted_scores(options, stack, table)
    else:
        scores = _audio_scores(options, stack, table, store=store, source=source)

    pairs = compare_pairs(table, scores, stack, parse_weights(options), options.level)
    _say_about(pairs, scores, stack)
    _put(options, pairs, form)
    return _say_failed(pairs)


def _format(options: Namespace) -> str | None:
    """The format of the output; None shows a table on a terminal.

    Raises
    ------
    UsageError
        when there is none of that name or suffix.
    """
    from ensemble.formats import check_format

    if options.format:
        one_of(options.format, (*_TABLES, *_LINES), "format of --pairs")
        if options.format in _TABLES:
            check_format(options.format)
        return str(options.format)
    return None if options.out is None else table_format(options.out)


def _audio_scores(
    options: Namespace,
    stack: StackedMOS,
    table: PairTable,
    *,
    store: EmbeddingStore,
    source: Any,
) -> Scores:
    """Scores of the clips by a stack that reads audio."""
    if not stack.estimators_:
        models = stack.final_estimator_.layout_.models
        raise UsageError(
            "This stack holds no base models: it reads no audio. Pass what "
            f"{some(models)} predict with --predictions FILE..., and ids of clips in "
            "the table of pairs."
        )
    if table.clips.empty:
        raise UsageError(
            f"{options.pairs}: no row names an audio file that is clear; "
            f"{table.reasons[0] or 'the columns are empty'}."
        )
    from ensemble.scoring.score_clips import IntervalSettings, score_clips
    from ensemble.training.progress import encoding

    with encoding() as on_embed:

        def score(clips: Any) -> Scores:
            return score_clips(
                stack,
                clips,
                store,
                intervals=IntervalSettings(options.level),
                on_progress=on_embed,
                workers=workers_of(options, source),
                distributions="stack",
            )

        scores, _ = score_with(
            options, stack, table.clips, score=score, on_progress=on_embed
        )
    return scores


def _predicted_scores(
    options: Namespace, stack: StackedMOS, table: PairTable
) -> Scores:
    """Scores of all clips that files of predictions are about."""
    from ensemble.prediction_files.predictor_scales import DeclaredScales
    from ensemble.scoring.score_predictions import score_predictions

    scores, notes = score_predictions(
        stack,
        options.predictions,
        options.level,
        distributions="stack",
        declared=DeclaredScales.read(options.predictor_scales),
    )
    say_notes(notes)
    known = set(scores.frame["clip_id"])
    asked = table.clips["clip_id"]
    if not known & set(asked):
        raise UsageError(
            f"{options.pairs} names {some(asked, 3)}, and the predictions are of "
            f"{some(sorted(known), 3)}: no clip is in both. With --predictions the "
            "table of pairs holds ids of clips."
        )
    return scores


def _say_about(pairs: ComparedPairs, scores: Scores, stack: StackedMOS) -> None:
    """Say what the preferences are worth, and how they were made."""
    if stack.demo_:
        say("demo corpus: this stack learnt simulated raters; nothing here is real")
    if scores.left_out:
        left_out = ", ".join(scores.left_out)
        say(f"no prompt: {left_out} left out; name prompts in a column")
    say_range(scores)
    say_audio(scores)
    say_notes(pairs.notes)


def _put(options: Namespace, pairs: ComparedPairs, form: str | None) -> None:
    """Write the pairs, or show them."""
    from ensemble.formats import FORMATS
    from ensemble.scoring.pairs.layouts import (
        MIREX_FIELDS,
        mirex_lines,
        rewardbench_lines,
    )

    if options.json:
        put_json(_facts(pairs), options.json, "predict_mos")
    is_shown = options.out is None and form is None
    if is_shown and (sys.stdout.isatty() or is_stdout_taken()):
        Screen().print(_screen_table(pairs))
        return
    if form == MIREX:
        data = mirex_lines(pairs, tuple(options.mirex_fields or MIREX_FIELDS))
    elif form == REWARDBENCH:
        data = rewardbench_lines(pairs)
    else:
        data = FORMATS[form or "csv"].encode(pairs.frame, pairs.aspects)
    put_data(data, options.out or STDOUT)


def _facts(pairs: ComparedPairs) -> dict[str, Any]:
    return {
        "aspects": list(pairs.aspects),
        "weights": dict(pairs.weights),
        "level": pairs.level,
        "notes": list(pairs.notes),
        "pairs": nan_to_none(pairs.frame),
    }


def _screen_table(pairs: ComparedPairs) -> LiteralTable:
    """One row per pair: both clips, the probabilities, and what is said of them."""
    table = LiteralTable(
        title=(
            "probability that listeners prefer clip a to clip b; said from "
            f"{pairs.level:.0%} on"
        ),
        names=3,
        importance=("preferred", "overall"),
        elsewhere="-o FILE has them",
    )
    for name in ("pair", "a", "b"):
        table.add_column(name, overflow="fold")
    for aspect in pairs.aspects:
        table.add_column(f"P(a > b) {aspect}", justify="right", no_wrap=True)
    if len(pairs.aspects) > 1:
        table.add_column("overall", justify="right", no_wrap=True)
    table.add_column("preferred", no_wrap=True)
    names_of_clips = pairs.frame[["audio_a", "audio_b"]].astype(str)
    short = without_common_start(names_of_clips.to_numpy().ravel().tolist())
    for row in pairs.frame.to_dict("records"):
        columns = [f"{aspect}_p" for aspect in pairs.aspects]
        if len(pairs.aspects) > 1:
            columns.append("overall_p")
        numbers = ["" if row[c] != row[c] else f"{row[c]:.2f}" for c in columns]
        names = [short[str(row["audio_a"])], short[str(row["audio_b"])]]
        table.add_row(row["pair_id"], *names, *numbers, _verdict(row))
    return table


def _verdict(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return "not scored"
    if not row["shown"]:
        return "not shown"
    return str(row["preferred"])


def _say_failed(pairs: ComparedPairs) -> int:
    """List the pairs without a preference; the exit code that follows."""
    failed = pairs.failed
    if failed.empty:
        return ALL_WELL
    subject = "pair has" if len(failed) == 1 else "pairs have"
    say_problem(f"{len(failed)} {subject} no preference:")
    for row in failed.head(_MOST_LISTED).to_dict("records"):
        say_problem(f"  {row['pair_id']}: {row['reason']}")
    if len(failed) > _MOST_LISTED:
        say_problem(f"  and {len(failed) - _MOST_LISTED} more, in the output")
    return CLIPS_SET_ASIDE
