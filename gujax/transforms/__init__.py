"""Optax transformations that turn per-example gradients into ordinary updates.

    grads = gujax.per_example_grads(loss_fn)(params, batch)
    optimizer = optax.chain(gujax.transforms.uniqueness_gate(quantile=0.9), optax.adam(1e-3))
    updates, state = optimizer.update(grads, state, params, example_ids=ids, mask=mask)

Each takes per-example gradients, dense or factored, as `updates`, and reduces them to a tree like
the parameters. The state exposes `uniqueness`, `weights` and `ledger`.

Sharp edges: how to get it silently wrong
-----------------------------------------
- **Order.** The transformation comes first in the chain. After `optax.adam` or a clip by global
  norm it would see preconditioned numbers that are no longer what one example contributes.
- **Batch-mean gradients.** `jax.grad` of a mean loss has no example axis; a parameter's first axis
  would be taken for it. Pass the output of `gujax.per_example_grads`. `optax.MultiSteps` and
  `optax.apply_if_finite` go around what follows (`chain(gate, MultiSteps(adam, k))`), not around
  the transformation, whose updates are larger than the parameters.
- **Shuffled batches with Poisson accounting.** The ε of `accounting` holds for Poisson sampling.
  Batches of a shuffled epoch, or Poisson batches cut to a physical size, have a larger one.
- **Per-batch normalisation.** Batch normalisation makes every example's gradient depend on the
  others: the sum has no per-example terms, and no guarantee here holds. Use group or layer norm.
  `dp_sgd` divides by the expected batch size for the same reason; the other transformations divide
  by the realised number, which is fine for measuring and is no differential privacy.
- **The ridge is part of the threat model** (the noise that the attacker is assumed to face), not
  numerics. Report it beside every GNQ. An absolute ridge changes meaning with the loss's scale.
- **A defense that looks at the data.** Which example is gated, scaled or out of budget depends on
  the batch; the ledger counts what the released sums disclose, not what the choice does.
- **Weight decay, momentum, learning rate** that follow are post-processing and cost nothing;
  what else depends on the data (hyperparameter search, early stopping) is not counted.
- **NaN** in one example's gradient makes the whole update NaN and charges nobody. Put
  `optax.apply_if_finite` around the optimizer that follows to skip such a step.
- **Schedules.** `optax.inject_hyperparams(uniqueness_gate)(threshold=schedule)` works; if `init` is
  itself jitted, also pass `static_args=("batch_size", "num_examples")`.
"""

from gujax.transforms._accounting import calibrate_noise_multiplier, epsilon_spent
from gujax.transforms._chance_gate import chance_gate
from gujax.transforms._disclosure_budget import disclosure_budget
from gujax.transforms._dp_sgd import DPSGDState, dp_sgd
from gujax.transforms._freeze import freeze
from gujax.transforms._mean import mean
from gujax.transforms._noise import add_noise
from gujax.transforms._norm_gate import norm_gate
from gujax.transforms._scalars import Scalar
from gujax.transforms._state import AggregationState, KeyedState
from gujax.transforms._uniqueness_clip import uniqueness_clip
from gujax.transforms._uniqueness_gate import uniqueness_gate

__all__ = [
    "AggregationState",
    "DPSGDState",
    "KeyedState",
    "Scalar",
    "add_noise",
    "calibrate_noise_multiplier",
    "chance_gate",
    "disclosure_budget",
    "dp_sgd",
    "epsilon_spent",
    "freeze",
    "mean",
    "norm_gate",
    "uniqueness_clip",
    "uniqueness_gate",
]
