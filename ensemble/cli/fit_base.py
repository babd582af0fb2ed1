"""fit_base: train the base models of level 0 on a listening test, or on the demo corpus when none is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from base_models.errors import UsageError
from ensemble.artifacts import Workspace
from ensemble.cli.common import EXIT_CODES, run, say, say_set_aside


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="fit_base", description=__doc__, epilog=EXIT_CODES)
    add = parser.add_argument
    add("--config", action="config", help="read any of these options from a YAML file")
    add("--seeds", type=int, default=5, help="how many seeds of each model that names no count")
    add("--models", nargs="+", metavar="NAME[:COUNT]", help="presets; default: dora, dora_coral:2, dora_decoupled:2")
    add("--data", type=str, help="MusicEval folder, label list, or csv/tsv/jsonl/parquet table; default: demo corpus")
    add("--aspects", nargs="+", help="rated columns; default: the recognised ones")
    add("--text-aspects", nargs="+", help="aspects judged against the prompt; default: ta and its other names")
    add("--audio-encoder", type=str, help="muq (default for --data), logmel, or NAME=FOLDER with local weights")
    add("--text-encoder", type=str, help="roberta (default for --data), hashed_text, or NAME=FOLDER")
    add("--settings", type=str, help="training settings: paper, or embedded (default with logmel)")
    add(
        "--split",
        nargs=3,
        type=float,
        default=[0.7, 0.15, 0.15],
        help="train dev test shares where the data has no splits",
    )
    add("--group", type=str, help="column whose clips stay in one split, e.g. content_id")
    add("--split-seed", type=int, default=0, help="seed of the splits")
    add("--folds", type=int, default=0, help="also predict the training split out of fold, with so many folds")
    add("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add("--jobs", type=int, default=0, help="worker processes; 0 shares out the cores")
    add("--store-dtype", type=str, default="float16", help="float16 or float32 embeddings on disk")
    add("--artifacts", type=str, default="artifacts", help="where everything is written")
    return parser


def _main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    from ensemble.level0 import plan_models, prepare_level0, train_level0
    from ensemble.progress import encoding, watch
    from ensemble.rated_clips import RatedClips

    models = plan_models(options.models, options.seeds)
    if options.jobs < 0 or options.folds < 0 or options.folds == 1:
        raise UsageError("--jobs must be 0 or more, and --folds 0 or at least 2.")
    workspace, demo = Workspace(Path(options.artifacts)), options.data is None
    data = options.data
    if demo:
        from base_models.demo import write_demo

        data = write_demo(workspace.demo)
        say(f"demo corpus: synthetic music and simulated raters in {data}; its numbers say nothing about real music")
    rated = RatedClips.read(
        data, options.aspects, options.text_aspects, options.split, options.group, options.split_seed, demo
    )
    audio, text = _encoders(options, demo)
    settings = _settings(options.settings, audio)
    say(f"{len(rated.frame)} clips, aspects {', '.join(rated.aspects)}; {rated.note}")
    say(
        f"encoders {audio}"
        + (f" and {text}" if any(rated.needs_text) else "")
        + f"; training settings {settings or 'paper'}"
    )
    with encoding() as on_embed:
        level0 = prepare_level0(
            rated, models, workspace, audio, text, settings, options.device, options.jobs, options.folds,
            options.store_dtype, on_embed,
        )  # fmt: skip
    total, trained = len(level0.runs), len(train_level0(level0, workspace, watch))
    if trained:
        say(f"trained {trained} of {total} base models ({total - trained} were there already)")
    else:
        say(f"nothing to do: all {total} base models are finished")
    print(workspace.root / "level0.json")
    return say_set_aside(level0.set_aside)


def _encoders(options, demo: bool) -> tuple[str, str]:
    """Real data never falls back on the embedded encoders: they are used only for the demo, or when named."""
    embedded = ("logmel", "hashed_text") if demo else ("muq", "roberta")
    return options.audio_encoder or embedded[0], options.text_encoder or embedded[1]


def _settings(name: str | None, audio: str) -> str | None:
    from base_models.encoders import ENCODERS, parse_encoder

    if name is None:
        return "embedded" if ENCODERS[parse_encoder(audio)[0]].embedded else None
    return None if name == "paper" else name


def main() -> None:
    """Console entry point."""
    raise SystemExit(run(_main))
