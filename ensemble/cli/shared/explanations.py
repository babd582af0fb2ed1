"""predict_mos --explain: the folder, tried before anything is encoded, and what is said of what was written there."""

from __future__ import annotations

from pathlib import Path

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import say


def make_folder(name: str) -> None:
    """Make the folder now: one that cannot be made should not be found out after an hour of encoding."""
    if not name:
        raise UsageError("--explain takes the folder to write to; got ''.")
    Path(name).mkdir(parents=True, exist_ok=True)


def explain(folder: str, stack, clips, store, scores) -> None:
    """Write what the base models attended to in the clips that were scored."""
    from ensemble.attention.explain import explain_clips

    scored = clips[clips["clip_id"].astype(str).isin(scores.frame["clip_id"])]
    if scored.empty:
        return
    for note in explain_clips(stack, scored, store, folder, scores.aspects):
        say(f"not in {folder}: {note}")
    say(f"what the base models attended to in {len(scored)} clips: {folder}")
