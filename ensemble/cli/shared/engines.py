"""The option ``--engine``, and paths that mean the same for workers elsewhere."""

from __future__ import annotations

import os

from jsonargparse import Namespace

from ensemble.cli.shared.options import OptionGroup
from ensemble.engine import LOCAL, check_engine
from ensemble.hub.place import is_hub_word
from ensemble.training.encoder_choice import with_absolute_folder


def add_engine_option(group: OptionGroup) -> None:
    """Add the option that says where to compute."""
    group.add_argument(
        "--engine",
        type=str,
        default=LOCAL,
        metavar="ENGINE",
        help="whose processes compute: local, or dask://HOST:PORT of a scheduler whose "
        "workers see the same folders",
    )


def locate(options: Namespace) -> bool:
    """Make the paths among the options absolute when workers elsewhere are to compute.

    Workers run in folders of their own, where a relative path would mean another file.

    Returns
    -------
    elsewhere : whether the engine is another than the local one

    Raises
    ------
    UsageError
        when there is no such engine.
    """
    if check_engine(options.engine) == LOCAL:
        return False

    for name in ("data", "artifacts", "stack"):
        path = getattr(options, name, None)
        # Workers are told the folder into which a stack of a hub was pulled.
        if path and not is_hub_word(path):
            options[name] = os.path.abspath(path)
    for name in ("audio_encoder", "text_encoder"):
        words = getattr(options, name, None)
        if words:
            options[name] = [with_absolute_folder(word) for word in words]
    return True
