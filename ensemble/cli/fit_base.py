"""``fit_base``: train base models on a listening test, or on the demo corpus.

Exit code 0 when all is well, 3 when some clips were set aside, an aspect is left out
for some for want of a prompt, or some models could not be trained, 2 when the data or
an option cannot be used, or no model could be trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.errors import UsageError, one_of
from base_models.mono_rules import MONO_RULES
from base_models.optional_libraries import require
from base_models.pooled_config import PooledConfig
from base_models.scales import LabelScales
from ensemble.cli.shared.clip_tables.rating_options import (
    add_rating_options,
    rating_options,
)
from ensemble.cli.shared.embedding_shards import (
    add_embedding_shard_option,
    check_embedding_shard,
    embed_shard,
)
from ensemble.cli.shared.engines import add_engine_option, locate
from ensemble.cli.shared.exit_codes import (
    ALL_WELL,
    CLIPS_SET_ASIDE,
    run_command,
    say,
    say_notes,
    say_problem,
    say_set_aside,
    say_without_prompt,
)
from ensemble.cli.shared.options import (
    USUAL_PRECISION,
    Options,
    add_artifacts_option,
    add_aspects_option,
    add_config_option,
    add_device_option,
    add_precision_option,
    add_rating_scale_option,
    add_scale_option,
    check_device,
    choose_data,
    choose_encoders,
    parse_settings,
    seed,
)
from ensemble.cli.shared.output.output_files import (
    add_json_option,
    check_folder,
    check_outputs,
    put_json,
)
from ensemble.engine import end_unused
from ensemble.screen.streams import put_line
from ensemble.workspace import BASE_MODELS, Workspace

if TYPE_CHECKING:
    from ensemble.training.rated_clips import RatedClips
    from ensemble.training.train_base_models import TrainedRuns, TrainingPlan
    from ensemble.training.training_setup import Compute, TrainingSetup

STORE_DTYPES = ("float16", "float32")


_EXAMPLES = {
    "fit_base --data MusicEval": "the nine base models of the paper",
    "fit_base --data my_test.csv --models small --group content_id": (
        "fewer than 500 rated clips: models that train in seconds"
    ),
    "fit_base --data my_test.csv --models dora:1 --set max_epochs=3": (
        "a quick look, before all of it"
    ),
}


def _parser() -> Options:
    parser = Options(
        "fit_base",
        "Train base models on a listening test, or on the demo corpus when none is "
        "named. From a clip without a prompt only the aspects that need none are "
        "learnt (exit code 3).",
        examples=_EXAMPLES,
    )
    add_config_option(parser)
    _add_data_options(parser)
    _add_training_options(parser)
    _add_machine_options(parser)
    return parser


def _add_data_options(parser: Options) -> None:
    """Add the options that say which models are trained, and on what."""
    data = parser.group("clips and models")
    add = data.add_argument
    add(
        "--seeds",
        type=int,
        default=5,
        help="how many seeds of each network that names no count (of pooled_*: one)",
    )
    add(
        "--models",
        nargs="+",
        metavar="NAME[:COUNT]",
        help="presets, PRESET@ENCODER, or small: a set for less than 500 rated clips; "
        "default: dora, dora_coral:2, dora_decoupled:2",
    )
    add(
        "--data",
        type=str,
        metavar="PATH",
        help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table, also one "
        "of single ratings; default: the demo corpus, which is written to the "
        "folder of --artifacts",
    )
    add_aspects_option(data)
    add_scale_option(data, whose="mean ratings in --data")
    add(
        "--text-aspects",
        nargs="+",
        metavar="NAME",
        help="aspects judged against the prompt; default: ta and its other names",
    )
    add(
        "--ratings",
        type=str,
        metavar="FILE",
        help="table of clips, raters and aspects, for models that learn from single "
        "ratings; their means are the labels where --data has none",
    )
    add_rating_scale_option(data)
    add_rating_options(data)


def _add_training_options(parser: Options) -> None:
    """Add the options that say how models are trained."""
    add = parser.add("training")
    add(
        "--audio-encoder",
        nargs="+",
        metavar="NAME",
        help="encoder of every model instead of its preset's (the demo: logmel); "
        "PRESET=NAME of one preset; NAME=FOLDER where its weights lie, several of them "
        "for several encoders",
    )
    add(
        "--text-encoder",
        nargs="+",
        metavar="NAME",
        help="encoder of the prompts of every model instead of its preset's (the "
        "demo: hashed_text); PRESET=NAME and NAME=FOLDER as with --audio-encoder",
    )
    add(
        "--settings",
        type=str,
        default="usual",
        help="training settings: paper, embedded, embedded_sgd, or usual: the latter "
        "two for models on logmel, the preset's own otherwise",
    )
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="single settings, e.g. max_epochs=20 learning_rate=1e-4 "
        "bins.grid=endpoints; values as in TOML, bare words are text",
    )
    add(
        "--mono",
        type=str,
        metavar="RULE",
        help="how channels become one: mix (their mean; of channels that cancel the "
        "loudest), left, right or loudest; scores use the same. Default: mix",
    )
    _add_split_options(add)


def _add_split_options(add: Callable[..., Any]) -> None:
    """Add options of splits and folds, by `add` of their group."""
    add(
        "--split",
        nargs=3,
        type=float,
        metavar="SHARE",
        help="shares of train, dev and test, where the data names no splits; default: "
        "0.7 0.15 0.15, and 0.85 0 0.15 with --models small",
    )
    add(
        "--group",
        type=str,
        metavar="COLUMN",
        help="column whose clips stay on one side of every split, e.g. content_id",
    )
    add(
        "--split-seed",
        type=seed,
        default=0,
        help="starts the random numbers of the splits",
    )
    add(
        "--folds",
        type=int,
        help="also predict the training split out of fold, with so many folds; "
        "default: 5 with --models small, else 0",
    )


def _add_machine_options(parser: Options) -> None:
    """Add the options that say where to compute, and where to write."""
    machine = parser.group("machine and output")
    add = machine.add_argument
    add_device_option(machine, deals_runs=True)
    add_precision_option(machine, default=USUAL_PRECISION)
    add("--jobs", type=int, default=0, help="worker processes; 0 shares out the cores")
    add(
        "--threads",
        type=int,
        default=1,
        help="CPU threads of each run; another number is another run",
    )
    add_engine_option(machine)
    add_embedding_shard_option(machine)
    add(
        "--store-dtype",
        type=str,
        default="float16",
        help="precision of the embeddings that are kept: float16 or float32",
    )
    add_artifacts_option(machine, "everything that is written")
    add_json_option(machine, "what was trained, what failed, and clips set aside")


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    check_outputs(
        {"--json": options.json, "--problems": options.problems},
        inputs=(options.data, options.ratings),
    )
    check_folder(f"--artifacts {options.artifacts}", options.artifacts)
    # Paths become absolute before anything reads or writes them.
    locate(options)
    _check_options(options)
    setup = _choose_setup(options)
    workspace = Workspace(Path(options.artifacts))

    try:
        _start_processes(options, workspace)
        return _fit(options, setup, workspace)
    finally:
        end_unused()


def _start_processes(options: Namespace, workspace: Workspace) -> None:
    """Start the processes that will train on the demo corpus."""
    from ensemble.training.processes import start_processes
    from ensemble.training.training_setup import fewest_models

    # It takes a while to write, and nothing can be wrong with it. Other clips are
    # looked at first.
    if options.data is None and not options.shard and not workspace.has(BASE_MODELS):
        n_runs = fewest_models(options.models, options.seeds)
        start_processes(n_runs, _compute(options))


def _fit(options: Namespace, setup: TrainingSetup, workspace: Workspace) -> int:
    """Read the clips, embed them, and train on them; the exit code."""
    rated = _read_clips(options, workspace)
    models, setup = _choose_models(options, setup, rated)
    rated, about_ratings = _add_ratings(options, rated, models, setup=setup)
    say(f"{len(rated.frame)} clips, aspects {', '.join(rated.aspects)}; {rated.note}")
    if about_ratings:
        say(about_ratings)
    say_notes(rated.frame.attrs.get("notes", ()))
    _say_how_models_are_trained(options, rated, setup, models=models)
    _say_what_clips_can_carry(options, rated)

    if options.shard:
        return embed_shard(
            options, setup, rated, _compute(options), models=models, workspace=workspace
        )
    plan = _plan(options, setup, rated, models=models, workspace=workspace)
    # Before training, which may take hours, and not after it.
    workspace.list_set_aside(plan.set_aside)
    _say_what_leaks(plan)
    result = _train(options, plan, workspace)
    _say_what_learnt_nothing(plan)

    say(f"next: fit_meta --artifacts {workspace.root}")
    put_line(str(workspace.root / f"{BASE_MODELS}.json"))
    if options.json:
        put_json(_to_json(plan, result), options.json, "fit_base")
    code = CLIPS_SET_ASIDE if result.failed else ALL_WELL
    without_prompt = plan.rated.without_prompt
    listed = say_set_aside(plan.set_aside, str(workspace.set_aside))
    return max(code, say_without_prompt(without_prompt), listed)


def _to_json(plan: TrainingPlan, result: TrainedRuns) -> dict[str, Any]:
    """What became of every base model, and of the clips."""
    status = {run.name: "was there" for run in plan.runs}
    status |= dict.fromkeys(result.trained, "trained")
    status |= dict.fromkeys(result.failed, "failed")
    return {
        "source": plan.rated.source,
        "demo": plan.rated.demo,
        "splits": plan.rated.note,
        "aspects": list(plan.rated.aspects),
        "clips": len(plan.rated.frame),
        "models": [
            {
                "name": run.name,
                "folder": str(run.folder),
                "status": status[run.name],
                "reason": result.failed.get(run.name, ""),
            }
            for run in plan.runs
        ],
        "without_prompt": {k: list(v) for k, v in plan.rated.without_prompt.items()},
        "set_aside": {clip.clip_id: clip.reason for clip in plan.set_aside},
        "statuses": {clip.clip_id: clip.status for clip in plan.set_aside},
    }


def _check_options(options: Namespace) -> None:
    """Refuse a wrong name or number before anything is written."""
    from ensemble.training.training_setup import fewest_models

    require("torch")
    if options.data == "":
        raise UsageError(
            "--data is empty; name a folder or table, or leave the option out for the "
            "demo corpus."
        )
    fewest_models(options.models, options.seeds)
    folds = _folds(options)
    is_negative = options.jobs < 0 or folds < 0
    if is_negative or folds == 1 or options.threads < 1:
        raise UsageError(
            "--jobs must be 0 or more, --folds 0 or at least 2, --threads at least 1; "
            f"got --jobs {options.jobs} --folds {folds} "
            f"--threads {options.threads}."
        )
    one_of(options.store_dtype, STORE_DTYPES, "--store-dtype")
    check_embedding_shard(options)
    check_device(options)


def _choose_setup(options: Namespace) -> TrainingSetup:
    """What the base models are trained with, apart from the clips."""
    from ensemble.training.training_setup import TrainingSetup

    return TrainingSetup(
        encoders=choose_encoders(
            options.audio_encoder, options.text_encoder, demo=options.data is None
        ),
        settings=options.settings,
        overrides=_overrides(options),
        folds=_folds(options),
        dtype=options.store_dtype,
    )


def _overrides(options: Namespace) -> dict[str, Any]:
    """Single settings of the models: those of --set, and the rule of --mono."""
    overrides = parse_settings(options.set)
    if options.mono is None:
        return overrides
    one_of(options.mono, MONO_RULES, "--mono")
    if overrides.get("mono", options.mono) != options.mono:
        raise UsageError(
            f"--mono {options.mono} and --set mono={overrides['mono']} disagree; leave "
            "one of them out."
        )
    return {**overrides, "mono": options.mono}


def _folds(options: Namespace) -> int:
    """Folds of the training split, where a set of models needs them unasked."""
    from ensemble.training.model_sets import SMALL, SMALL_FOLDS

    if options.folds is not None:
        return int(options.folds)
    return SMALL_FOLDS if SMALL in (options.models or ()) else 0


def _read_clips(options: Namespace, workspace: Workspace) -> RatedClips:
    """Read the clips, or write and read the demo corpus."""
    from base_models.clips.demo.corpus import is_demo
    from ensemble.training.model_sets import SMALL, SMALL_SPLIT
    from ensemble.training.rated_clips import RatedClips, SplitRule

    data = choose_data(options.data, workspace)
    if is_demo(data):
        _say_demo(data, is_asked_for=options.data is not None)
    sizes = options.split or SplitRule.sizes
    if SMALL in (options.models or ()) and not options.split:
        sizes = SMALL_SPLIT
    rated = RatedClips.read(
        data,
        aspects=options.aspects,
        text_aspects=options.text_aspects,
        splits=SplitRule(
            sizes,
            seed=options.split_seed,
            group=options.group,
            # Out-of-fold predictions of the training split do for a stack, too.
            needs_dev=not _folds(options),
            fingerprints=workspace.fingerprints,
        ),
        ratings=options.ratings,
        rating_scale=options.rating_scale,
        scales=LabelScales.parse(options.scale),
        options=rating_options(options),
    )
    return rated


def _say_demo(data: Path | str, is_asked_for: bool) -> None:
    """Say that this is the demo, where it is, and how to use data of one's own."""
    own = "; your own clips: fit_base --data TABLE (fit_base --help has examples)"
    say(
        f"demo corpus: synthetic music and simulated raters in {data}; its numbers say "
        f"nothing about real music{'' if is_asked_for else own}"
    )


def _choose_models(
    options: Namespace, setup: TrainingSetup, rated: RatedClips
) -> tuple[list[tuple[str, int]], TrainingSetup]:
    """Names and seeds of the models, and the setup with their encoders."""
    from ensemble.training.model_sets import expand_sets
    from ensemble.training.training_setup import plan_models

    # Known only now: which aspects are judged by text depends on the clips.
    is_text_judged = any(rated.needs_text)
    if not options.models and not is_text_judged:
        say(
            "no aspect is judged by text, so dora_decoupled would repeat dora and is "
            "left out"
        )
    words, encoders = expand_sets(options.models, setup.encoders, is_text_judged)
    models = plan_models(words, options.seeds, is_text_judged)
    return models, replace(setup, encoders=encoders)


def _add_ratings(
    options: Namespace,
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    setup: TrainingSetup,
) -> tuple[RatedClips, str]:
    """The clips with their single ratings, where there are any, and a note on them."""
    from ensemble.training.rated_clips import add_ratings

    return add_ratings(
        rated,
        models,
        setup,
        path=options.ratings,
        scale=options.rating_scale,
    )


def _say_how_models_are_trained(
    options: Namespace,
    rated: RatedClips,
    setup: TrainingSetup,
    models: Sequence[tuple[str, int]],
) -> None:
    # Options that change nothing are not passed over in silence.
    if rated.made == "splits as given" and (options.split or options.split_seed):
        say(
            "note: the data gives its splits, so --split and --split-seed change "
            "nothing"
        )

    # Presets that share encoders and settings share a line.
    presets_of: dict[str, list[str]] = {}
    for preset in dict(models):
        model = setup.model(preset)
        encoders = " and ".join(model.encoder_words(any(rated.needs_text)))
        how = f"training settings {model.settings or 'paper'}"
        if isinstance(model.config, PooledConfig):
            how = "tuned in inner folds"
        line = f"encoders {encoders}; {how}"
        presets_of.setdefault(line, []).append(preset)
    for line, presets in presets_of.items():
        say(line if len(presets_of) == 1 else f"{', '.join(presets)}: {line}")


def _say_what_clips_can_carry(options: Namespace, rated: RatedClips) -> None:
    from ensemble.training.checks.advice import Advice

    advice = Advice.of(
        rated.frame,
        rated.aspects,
        rated.needs_text,
        folds=bool(_folds(options)),
    )
    lines = [advice.stacking_line]
    lines += advice.clip_lines
    lines += advice.system_lines
    # Whoever names models has chosen.
    if not options.models and advice.models:
        lines.insert(0, advice.models_line)
    say_notes(line for line in lines if line)


def _plan(
    options: Namespace,
    setup: TrainingSetup,
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
) -> TrainingPlan:
    """Embed the clips and lay out the runs."""
    from ensemble.training.progress import encoding
    from ensemble.training.train_base_models import plan_training

    compute = _compute(options)
    with encoding() as on_embed:
        return plan_training(
            rated, models, workspace, setup=setup, compute=compute, on_embed=on_embed
        )


def _compute(options: Namespace) -> Compute:
    from ensemble.training.training_setup import Compute

    return Compute(
        device=options.device,
        precision=options.precision,
        jobs=options.jobs,
        threads=options.threads,
        engine=options.engine,
    )


def _say_what_leaks(plan: TrainingPlan) -> None:
    """Name recordings that are in several splits."""
    clips = plan.rated.frame
    split_of = dict(zip(clips["clip_id"], clips["split"], strict=True))
    sentence = plan.recordings.sentence(split_of)
    if sentence:
        say(f"warning: {sentence}")


def _train(options: Namespace, plan: TrainingPlan, workspace: Workspace) -> TrainedRuns:
    """Train what is not finished, and say what became of it."""
    from ensemble.training.progress import watch
    from ensemble.training.train_base_models import train_base_models

    result = train_base_models(plan, workspace, watch, engine=options.engine)
    n_trained = len(result.trained)
    n_models = len(plan.runs)
    n_there = n_models - n_trained - len(result.failed)
    if n_trained or result.failed:
        say(
            f"trained {n_trained} of {n_models} base models ({n_there} were there "
            "already)"
        )
    else:
        say(f"nothing to do: all {n_models} base models are finished")
    if not result.failed:
        return result

    for name, reason in result.failed.items():
        say_problem(f"{name} could not be trained: {reason}")
    say(
        "fit_meta stacks the others and names what it leaves out; after the cure, the "
        "same fit_base trains only what failed"
    )
    return result


def _say_what_learnt_nothing(plan: TrainingPlan) -> None:
    """Name the base models whose predictions are constant."""
    from ensemble.training.checks.constant_models import (
        constant_models,
        constant_sentence,
    )

    sentence = constant_sentence(constant_models(plan))
    if sentence:
        say(sentence)


def main() -> None:
    """Run the command and exit with its code."""
    raise SystemExit(run_command(_main))
