"""Defenses that act in training: by name, and made ready to train.

    sgd, gate, strict, weak = parse_defenses(["sgd", "gate:0.9", "dp_sgd"])  # ε of 2 and 8
    ready = prepare(gate, recipe, member_masks, relative_ridge=0.1)

A new one is one file beside this: its name is the family's, its `METHOD` says what the family is.
"""

from experiments.membership.defenses._method import Labels, Method, Place, Privacy, Strength
from experiments.membership.defenses._registry import (
    Defense,
    methods,
    parse_defense,
    parse_defenses,
)
from experiments.membership.defenses._training import Training, aggregation, prepare
from experiments.membership.defenses.censor import most_disclosed
from experiments.membership.defenses.dp_sgd import account
