import dataclasses

import pytest
import tyro

from experiments.framework.errors import UserError
from experiments.framework.options import (
    Count,
    Fraction,
    Models,
    NonNegative,
    Positive,
    RunOptions,
    Several,
    options,
)


@options
class Options(RunOptions):
    """What it does.

    Attributes:
        seeds: Independent repeats.
    """

    seeds: Count = 5
    epochs: Count | None = None
    shares: Several[Fraction] = (0.1,)
    rates: tuple[Positive, ...] = ()
    weight: NonNegative = 0.0
    shadow_models: Models = 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seeds": 0}, "--seeds 0 must be at least 1"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"shares": ()}, "--shares is empty; name at least one"),
        ({"shares": (0.5, 1.0)}, "--shares 1.0 must be between 0 and 1"),
        ({"rates": (0.0,)}, "--rates 0.0 must be positive"),
        ({"rates": (float("inf"),)}, "--rates inf must be a finite number"),
        ({"weight": -1.0}, "--weight -1.0 must be at least 0"),
        ({"shadow_models": 5}, "--shadow-models 5 must be even and at least 4"),
        ({"seeds": 0, "weight": -1.0}, "--seeds 0 must be at least 1; --weight -1.0 must be at"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(given, says):
    with pytest.raises(UserError) as error:
        Options(**given)
    assert says in str(error.value)


def test_options_are_frozen_dataclasses_that_the_command_line_reads():
    read = tyro.cli(Options, args=["--seeds", "3", "--shares", "0.2", "0.3"])
    assert read == Options(seeds=3, shares=(0.2, 0.3))
    assert dataclasses.replace(read, seeds=4).seeds == 4
    with pytest.raises(UserError):
        dataclasses.replace(read, seeds=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.seeds = 9
    assert [field.name for field in dataclasses.fields(Options)][-2:] == ["out", "overwrite"]
