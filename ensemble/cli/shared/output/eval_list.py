"""``--eval-list``: an answer for the challenge is checked before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import ALL_WELL, CLIPS_SET_ASIDE, say, say_problem
from ensemble.cli.shared.options import OptionGroup

if TYPE_CHECKING:
    from ensemble.formats import Scores

ANSWER_FORMATS = ("answer", "answer.zip")


def add_eval_list_option(group: OptionGroup, what: str) -> None:
    """Add ``--eval-list``; `what` says what is done with the list."""
    group.add_argument("--eval-list", type=str, metavar="FILE", help=what)


def check_listed(options: Namespace, form: str | None, clip_ids: Iterable[str]) -> None:
    """Refuse clips that are not those of the list, before they are scored.

    Raises
    ------
    UsageError
        when a clip of the list is missing, too many or there twice, or scores are
        written in another format.
    """
    if options.eval_list is None:
        return
    from ensemble.scoring.challenge_answer import id_problems, read_eval_list

    if form not in ANSWER_FORMATS:
        raise UsageError(
            "--eval-list is about answers for the challenge: write them with -o "
            "answer.zip."
        )
    listed = read_eval_list(options.eval_list)
    _refuse(options.eval_list, id_problems(list(clip_ids), listed))


def check_scored(options: Namespace, form: str, scores: Scores) -> None:
    """Refuse an answer that the challenge would not take.

    Raises
    ------
    UsageError
        naming all that is wrong with it.
    """
    if options.eval_list is None:
        return
    from ensemble.formats import encode_scores
    from ensemble.scoring.challenge_answer import answer_problems, read_eval_list

    data = encode_scores(scores, form)
    listed = read_eval_list(options.eval_list)
    is_zip = form == "answer.zip"
    _refuse(options.eval_list, answer_problems(data, is_zip, listed=listed))


def _refuse(eval_list: str, problems: Sequence[str]) -> None:
    if problems:
        raise UsageError(
            f"This is no answer to {eval_list}: {'; '.join(problems)}. Nothing was "
            "written; -o scores.csv says why clips have no scores."
        )


def check_answer(options: Namespace) -> int:
    """Say all that is wrong with a submission; the exit code that follows."""
    from ensemble.scoring.challenge_answer import check_answer_file

    if options.labels or len(options.predictions or ()) != 1:
        raise UsageError(
            "--eval-list checks one answer.zip or answer.txt, without labels."
        )
    (file,) = options.predictions
    problems = check_answer_file(file, options.eval_list)
    if not problems:
        say(f"{file}: an answer to {options.eval_list}, with every clip scored")
        return ALL_WELL
    say_problem(f"{file}: no answer to {options.eval_list}:")
    for problem in problems:
        say_problem(f"  {problem}")
    return CLIPS_SET_ASIDE
