"""The commands, one file each: what a user types comes in, files and tables go out.

Each reads its options, calls one library function, writes, and says where the result
is. Read `check_clips`, the shortest, then `shared.exit_codes`, which runs them all.
"""

COMMANDS = {
    "check_clips": "what is wrong with clips and labels, before training",
    "fit_base": "train base models on a listening test, or on the demo corpus",
    "fit_meta": "stack models or other tools' predictions; write the report",
    "predict_mos": "score clips, with intervals",
    "compare_systems": "which version is better, and how sure is that",
    "evaluate_mos": "measure anybody's predictions against labels",
    "noise_ceiling": "what a perfect predictor would score against such ratings",
    "rate_less": "means of systems from few ratings; which clips to rate",
    "serve_mos": "local pages that score clips and take ratings; a JSON API",
    "inspect_stack": "what is inside a stack; --push shares it, with a model card",
    "list_models": "the presets of base models, and what they cost",
    "list_encoders": "the frozen encoders, their licences, how to get their weights",
    "list_runs": "the base models that are trained; --remove deletes some",
    "verify_run": "prove a run from its manifest; --rebuild trains it again",
    "reproduce": "one table of the papers, their numbers beside ours",
}
"""Each command with what it is for; its module has its name."""
