"""The configuration of a webMUSHRA test, which names the audio file of each stimulus.

It is YAML from somebody else's machine: only plain data is built of it, and aliases,
which let a short file stand for a huge one, are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.tables.encoding import read_text
from base_models.errors import UsageError, some

MAX_CHARACTERS = 2_000_000
_MAX_DEPTH = 40
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (
    yaml.BlockEndToken,
    yaml.FlowMappingEndToken,
    yaml.FlowSequenceEndToken,
)
_REFERENCE = "reference"


def audio_of_stimuli(
    path: Path, tests: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> tuple[list[str], str]:
    """The audio file of each stimulus, and where it is from, for people.

    Parameters
    ----------
    path : of the results
    tests : their test ids
    pairs : n pairs (trial, stimulus)

    Returns
    -------
    audio : n paths, absolute or relative to the results; "" where none is known
    note : str
    """
    ids = [f"{trial}__{stimulus}" for trial, stimulus in pairs]
    configuration = find_configuration(path, tests)
    if configuration is None:
        note = (
            "no configuration (.yaml) of this test lies beside it, so that audio "
            "files are looked for under <trial>__<stimulus>"
        )
        return audio_beside(path, ids), note
    named = read_configuration(configuration)[1]
    # Paths in it are relative to the folder of webMUSHRA, above that of "configs".
    roots = (configuration.parent.parent, configuration.parent, path.parent)
    found = {pair: _placed(file, roots) for pair, file in named.items()}
    beside = audio_beside(path, ids)
    audio = [found.get(p, b) for p, b in zip(pairs, beside, strict=True)]
    without = {pair[1] for pair, file in zip(pairs, audio, strict=True) if not file} - {
        ""
    }
    note = f"audio files are those of {configuration.name}"
    if without:
        note += f", which names none for {some(sorted(without))}"
    return audio, note


def find_configuration(path: Path, tests: Sequence[str]) -> Path | None:
    """The configuration with that test id, beside the results or above them.

    Raises
    ------
    UsageError
        when several have it and name different files.
    """
    wanted = {_folded(test) for test in tests}
    fitting: dict[Path, dict[tuple[str, str], str]] = {}
    folder = path.resolve().parent
    for _ in range(3):
        for place in (folder, folder / "configs"):
            for file in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
                test, named = read_configuration(file)
                if named and _folded(test) in wanted:
                    fitting[file] = named
        if fitting:
            break
        folder = folder.parent
    if len({tuple(sorted(named.items())) for named in fitting.values()}) > 1:
        raise UsageError(
            f"{path}: {some(map(str, fitting))} configure a test of that name and "
            "name different audio files; keep the one that was used beside the results."
        )
    return next(iter(fitting), None)


def read_configuration(file: Path) -> tuple[str, dict[tuple[str, str], str]]:
    """The test id, and the audio file of each (page, stimulus).

    A file that is no such configuration has neither.

    Raises
    ------
    UsageError
        when the file is larger than `MAX_CHARACTERS`, no YAML of plain data, or uses
        aliases or nests too deeply.
    """
    text = read_text(file)
    if len(text) > MAX_CHARACTERS:
        raise UsageError(
            f"{file} has {len(text):,} characters; a webMUSHRA configuration has at "
            f"most {MAX_CHARACTERS:,}. Move it out of the way of the results."
        )
    try:
        _check_tokens(text, file)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # A refusal of ours is a ValueError too.
        if isinstance(error, UsageError):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(f"{file} is no YAML of plain data ({reason}).") from error
    if not isinstance(content, dict):
        return "", {}
    named: dict[tuple[str, str], str] = {}
    for page in _pages(content.get("pages")):
        trial = str(page.get("id", ""))
        for stimulus, audio in page["stimuli"].items():
            named[trial, str(stimulus)] = str(audio)
        if isinstance(page.get(_REFERENCE), str):
            named[trial, _REFERENCE] = page[_REFERENCE]
    return str(content.get("testId", "")), named


def _check_tokens(text: str, file: Path) -> None:
    """Refuse aliases, and what is nested so deeply that reading it takes minutes."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise UsageError(
                f"{file}, line {token.start_mark.line + 1}: aliases of YAML "
                "(*name) are not read; write the value out."
            )
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _MAX_DEPTH:
            raise UsageError(f"{file}: pages are nested more than {_MAX_DEPTH} deep.")


def _pages(pages: object) -> Iterator[dict[str, Any]]:
    """All pages with stimuli; lists of pages may hold lists, with "random" before."""
    if isinstance(pages, list):
        for page in pages:
            yield from _pages(page)
        return
    if isinstance(pages, dict) and isinstance(pages.get("stimuli"), dict):
        yield pages


def _placed(file: str, roots: Sequence[Path]) -> str:
    """The file below the first root that has it, else below the first root."""
    places = [os.path.join(root, file) for root in roots]
    return os.path.abspath(next(filter(os.path.isfile, places), places[0]))


def _folded(test: str) -> str:
    return "".join(letter for letter in test.lower() if letter.isalnum())
