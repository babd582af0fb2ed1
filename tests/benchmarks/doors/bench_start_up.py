"""How long commands take to start, and a small evaluation from nothing to its report,
against Python itself and against importing torch. Times are of CPU.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from commands import LAUNCH
from doors.fresh_process import cost_of_process

N_CLIPS = 120


def command(*words):
    return ["-c", LAUNCH.format("evaluate_mos"), *map(str, words)]


def evaluation(folder):
    """Labels and predictions of some clips, and the words that compare them."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(1, 5, N_CLIPS).round(2)
    ids = [f"clip{k:03d}" for k in range(N_CLIPS)]
    systems = [f"S{k % 12:02d}" for k in range(N_CLIPS)]
    clips = pd.DataFrame({"clip_id": ids, "system_id": systems, "mos": labels})
    clips.to_csv(folder / "labels.csv", index=False)
    paths = []
    for name, error in {"first": 0.5, "second": 0.8}.items():
        scores = (labels + error * rng.normal(size=N_CLIPS)).clip(1, 5)
        paths.append(folder / f"{name}.csv")
        scored = pd.DataFrame({"clip_id": ids, "mos": scores.round(4)})
        scored.to_csv(paths[-1], index=False)
    return [*paths, "--labels", folder / "labels.csv"]


def bench_start_up(tmp_path):
    nothing = cost_of_process(["-c", "pass"])
    torch = cost_of_process(["-c", "import torch"])
    pandas_ = cost_of_process(["-c", "import pandas"])
    print(
        f"\npython -c pass: {nothing.seconds:.2f} s; importing pandas "
        f"{pandas_.seconds / nothing.seconds:.0f} x, torch "
        f"{torch.seconds / nothing.seconds:.0f} x"
    )
    runs = {
        "--version": ["--version"],
        "--help": ["--help"],
        f"of {N_CLIPS} clips": evaluation(tmp_path),
    }
    for name, words in runs.items():
        cost = cost_of_process(command(*words))
        print(
            f"evaluate_mos {name}: {cost.seconds:.2f} s, "
            f"{cost.seconds / nothing.seconds:.1f} x python -c pass, "
            f"{cost.against(torch)} of importing torch"
        )
