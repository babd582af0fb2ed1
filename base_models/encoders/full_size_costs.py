"""What one pass of each published encoder costs at its full size, read from a file.

Counting takes ten seconds for all of them and imports every encoder, so that it is done
once, by `base_models.encoders.full_size`. A test compares the file with the counts.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from base_models.errors import one_of
from base_models.files import read_json, write_json
from base_models.networks.costs import Cost

SECONDS = 30
"""Length of the clip that is counted, the longest that is used."""
TOKENS = 32
"""Length of its prompt, special tokens included; ours."""

_FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class FullSizeCost:
    """What an encoder costs for one clip of 30 s, or one prompt of 32 tokens.

    Parameters
    ----------
    cost : Cost
    shape : of the embedding, (1, T, dim)
    """

    cost: Cost
    shape: tuple[int, ...]


def full_size_cost(name: str) -> FullSizeCost:
    """What an encoder costs, as it was counted.

    Parameters
    ----------
    name : of a published encoder

    Raises
    ------
    UsageError
        When the full size of the encoder is not known here, as of one from another
        package.
    """
    costs = full_size_costs()
    one_of(name, costs, "encoder of known size")
    return costs[name]


@functools.cache
def full_size_costs() -> Mapping[str, FullSizeCost]:
    """What each encoder costs, by its name."""
    return {
        name: FullSizeCost(Cost(**facts["cost"]), tuple(facts["shape"]))
        for name, facts in read_json(_FILE).items()
    }


def write_full_size_costs(costs: Mapping[str, FullSizeCost]) -> None:
    """Write what has been counted into the file."""
    write_json(_FILE, {name: asdict(cost) for name, cost in costs.items()})
