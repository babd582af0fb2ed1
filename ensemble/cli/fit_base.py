"""fit_base: train base models on a listening test, or on the demo corpus when none is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from base_models.errors import UsageError, one_of
from ensemble.cli.shared.engines import add_engine_option, locate
from ensemble.cli.shared.exit_codes import run, say, say_set_aside
from ensemble.cli.shared.options import Options, choose_encoders, parse_settings
from ensemble.workspace import Workspace


def _parser() -> Options:
    parser = Options("fit_base", __doc__)
    add = parser.add_argument
    add("--config", action="config", help="read any of these options from a YAML file")
    add(
        "--seeds",
        type=int,
        default=5,
        help="how many seeds of each model that names no count",
    )
    add(
        "--models",
        nargs="+",
        metavar="NAME[:COUNT]",
        help="presets; default: dora, dora_coral:2, dora_decoupled:2",
    )
    add(
        "--data",
        type=str,
        help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table; default: demo corpus",
    )
    add("--aspects", nargs="+", help="rated columns; default: the recognised ones")
    add(
        "--text-aspects",
        nargs="+",
        help="aspects judged against the prompt; default: ta and its other names",
    )
    add(
        "--ratings",
        type=str,
        help="table of clips, raters and aspects, for models that learn from single ratings",
    )
    add(
        "--rating-scale",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="ends of its scale; default: 1 5",
    )
    add(
        "--audio-encoder",
        type=str,
        help="muq (default for --data), logmel, or NAME=FOLDER with local weights",
    )
    add(
        "--text-encoder",
        type=str,
        help="roberta (default for --data), hashed_text, or NAME=FOLDER",
    )
    add(
        "--settings",
        type=str,
        help="training settings: paper, embedded (default with logmel) or embedded_sgd",
    )
    add(
        "--set",
        nargs="+",
        metavar="KEY=VALUE",
        help="single settings, e.g. max_epochs=20 learning_rate=1e-4",
    )
    add(
        "--split",
        nargs=3,
        type=float,
        metavar="SHARE",
        help="train dev test, if none given; default: 0.7 0.15 0.15",
    )
    add(
        "--group",
        type=str,
        help="column whose clips stay on one side of every split, e.g. content_id",
    )
    add("--split-seed", type=int, default=0, help="seed of the splits")
    add(
        "--folds",
        type=int,
        default=0,
        help="also predict the training split out of fold, with so many folds",
    )
    add("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add("--jobs", type=int, default=0, help="worker processes; 0 shares out the cores")
    add(
        "--threads",
        type=int,
        default=1,
        help="CPU threads of each run; another number is another run",
    )
    add_engine_option(parser)
    add(
        "--store-dtype",
        type=str,
        default="float16",
        help="float16 or float32 embeddings on disk",
    )
    add(
        "--artifacts", type=str, default="artifacts", help="where everything is written"
    )
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    from ensemble.training.progress import encoding, watch
    from ensemble.training.rated_clips import RatedClips
    from ensemble.training.train_base_models import (
        Compute,
        TrainingSetup,
        add_ratings,
        choose_settings,
        plan_models,
        plan_training,
        train_base_models,
    )

    locate(options)
    workspace, data = Workspace(Path(options.artifacts)), options.data
    if options.data == "":
        raise UsageError(
            "--data is empty; name a folder or table, or leave the option out for the demo corpus."
        )
    plan_models(
        options.models, options.seeds
    )  # a wrong name or number is refused before anything is written
    if (
        options.jobs < 0
        or options.folds < 0
        or options.folds == 1
        or options.threads < 1
    ):
        got = f"got --jobs {options.jobs} --folds {options.folds} --threads {options.threads}"
        raise UsageError(
            f"--jobs must be 0 or more, --folds 0 or at least 2, --threads at least 1; {got}."
        )
    one_of(options.store_dtype, ("float16", "float32"), "--store-dtype")
    audio, text = choose_encoders(
        options.audio_encoder, options.text_encoder, data is None
    )
    settings, overrides = (
        choose_settings(options.settings, audio),
        parse_settings(options.set),
    )
    if data is None:
        from base_models.clips.demo_corpus import write_demo

        data = write_demo(workspace.demo)
    split = options.split or (0.7, 0.15, 0.15), options.group, options.split_seed
    rated = RatedClips.read(data, options.aspects, options.text_aspects, *split)
    if rated.demo:
        say(
            f"demo corpus: synthetic music and simulated raters in {data}; its numbers say nothing about real music"
        )
    models = plan_models(options.models, options.seeds, any(rated.needs_text))
    if not options.models and not any(rated.needs_text):
        say(
            "no aspect is judged by text, so dora_decoupled would repeat dora and is left out"
        )
    rated, about_ratings = add_ratings(
        rated, models, settings, overrides, options.ratings, options.rating_scale
    )
    say(f"{len(rated.frame)} clips, aspects {', '.join(rated.aspects)}; {rated.note}")
    if about_ratings:
        say(about_ratings)
    if rated.made == "splits as given" and (options.split or options.split_seed):
        say(
            "note: the data gives its splits, so --split and --split-seed change nothing"
        )
    also = f" and {text}" if any(rated.needs_text) else ""
    say(f"encoders {audio}{also}; training settings {settings or 'paper'}")
    setup = TrainingSetup(
        audio_encoder=audio,
        text_encoder=text,
        settings=settings,
        overrides=overrides,
        folds=options.folds,
        dtype=options.store_dtype,
    )
    compute = Compute(
        device=options.device,
        jobs=options.jobs,
        threads=options.threads,
        engine=options.engine,
    )
    with encoding() as on_embed:
        plan = plan_training(
            rated, models, workspace, setup=setup, compute=compute, on_embed=on_embed
        )
    total = len(plan.runs)
    trained = len(train_base_models(plan, workspace, watch, options.engine))
    if trained:
        say(
            f"trained {trained} of {total} base models ({total - trained} were there already)"
        )
    else:
        say(f"nothing to do: all {total} base models are finished")
    say(f"next: fit_meta --artifacts {workspace.root}")
    print(workspace.root / "level0.json")
    return say_set_aside(plan.set_aside)


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
