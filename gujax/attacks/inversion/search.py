"""The compiled search: one candidate's objective, vectorized over restarts and victims."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from gujax.attacks.inversion._attack import GradientMatching
from gujax.attacks.inversion._factors import factored_cosine_distance, pays
from gujax.attacks.inversion._matching import cosine_distance
from gujax.training import GradientFn
from gujax.trees import weigh


class Candidate(NamedTuple):
    """What is searched for.

    Attributes:
        inputs: a pytree of floating arrays, [B, ...].
        label_logits: [B, classes], or None where labels are known or there are none.
    """

    inputs: PyTree
    label_logits: Float[Array, "batch classes"] | None

    def labels(self, known: PyTree | None) -> PyTree | None:
        """The known labels, or the candidate's distributions over classes."""
        return known if self.label_logits is None else jax.nn.softmax(self.label_logits)

    def examples(self, known: PyTree | None) -> PyTree:
        """What the gradient is taken of: inputs and labels, or inputs alone."""
        labels = self.labels(known)
        return self.inputs if labels is None else (self.inputs, labels)


class State(NamedTuple):
    """Candidates, their optimizer states and matching losses; every array is [V, restarts, ...]."""

    candidate: Candidate
    optimizer: optax.OptState
    matching_loss: Float[Array, "..."]


def start(
    attack: GradientMatching, keys: PRNGKeyArray, inputs_like: PyTree, num_classes: int | None
) -> State:
    """First candidates of V victims, one for each of ``keys`` and every restart."""

    def one(key: PRNGKeyArray) -> State:
        inputs_key, label_key = jax.random.split(key)
        logits = None
        if num_classes is not None:
            first = jax.tree.leaves(inputs_like)[0]
            logits = jax.random.normal(label_key, (first.shape[0], num_classes), first.dtype)
        candidate = Candidate(attack.initialize(inputs_key, inputs_like), logits)
        unmeasured = jnp.full((), jnp.inf, jnp.result_type(float))
        return State(candidate, attack.optimizer.init(candidate), unmeasured)

    state = jax.vmap(lambda key: jax.vmap(one)(jax.random.split(key, attack.num_restarts)))(keys)
    # Without weak types, which the loop would drop and so be compiled again in its second call.
    return jax.tree.map(lambda x: jnp.asarray(x, x.dtype), state)


@partial(jax.jit, static_argnames=("attack", "gradient_fn"), donate_argnames="state")
def advance(
    attack: GradientMatching,
    gradient_fn: GradientFn,
    num_steps: Int[Array, ""],
    state: State,
    params: PyTree,
    observed: PyTree,
    labels: PyTree | None,
) -> State:
    """The states after ``num_steps`` more steps.

    ``observed`` and ``labels`` have a leading axis V. The number of steps is traced, so that all
    calls share one program.
    """
    optimizer = optax.with_extra_args_support(attack.optimizer)

    def one(state: State, observed: PyTree, labels: PyTree | None) -> State:
        matching = matching_loss(attack, gradient_fn, params, observed, labels)

        def objective(candidate: Candidate) -> tuple[Float[Array, ""], Float[Array, ""]]:
            penalty = attack.regularizer(candidate.inputs) if attack.regularizer else 0.0
            match = matching(candidate)
            return match + penalty, match

        def step(index: Int[Array, ""], state: State) -> State:
            (value, match), grad = jax.value_and_grad(objective, has_aux=True)(state.candidate)
            updates, optimizer_state = optimizer.update(
                grad,
                state.optimizer,
                state.candidate,
                # What an optimizer with a line search asks for; others ignore it.
                value=value,
                grad=grad,
                value_fn=lambda candidate: objective(candidate)[0],
            )
            candidate = optax.apply_updates(state.candidate, updates)
            if attack.project:
                candidate = candidate._replace(inputs=attack.project(candidate.inputs))
            # One more pass through the loop measures where the last step led, and stays there: a
            # measurement of its own would have the gradient compiled a second time.
            stays = index == num_steps
            candidate, optimizer_state = jax.tree.map(
                lambda old, new: jnp.where(stays, old, new),
                (state.candidate, state.optimizer),
                (candidate, optimizer_state),
            )
            return State(candidate, optimizer_state, match.astype(state.matching_loss.dtype))

        return jax.lax.fori_loop(0, num_steps + 1, step, state)

    return jax.vmap(jax.vmap(one, (0, None, None)))(state, observed, labels)


@jax.jit
def best(state: State) -> tuple[Candidate, Float[Array, " victims"]]:
    """Of each victim's restarts the candidate with the least matching loss, and that loss."""
    losses = state.matching_loss
    winners = jnp.argmin(jnp.where(jnp.isnan(losses), jnp.inf, losses), axis=1)

    def of_winner(values: Array) -> Array:
        return jax.vmap(lambda of_victim, winner: of_victim[winner])(values, winners)

    return jax.tree.map(of_winner, (state.candidate, losses))


def matching_loss(
    attack: GradientMatching,
    gradient_fn: GradientFn,
    params: PyTree,
    observed: PyTree,
    labels: PyTree | None,
) -> Callable[[Candidate], Float[Array, ""]]:
    """The matching loss of one victim as a function of a candidate."""
    target = weigh(attack.leaf_weights, observed)

    def loss(candidate: Candidate) -> Float[Array, ""]:
        examples = candidate.examples(labels)
        if attack.matching_loss is cosine_distance and pays(gradient_fn, params, examples):
            return factored_cosine_distance(
                gradient_fn, params, examples, attack.leaf_weights, target
            )
        gradient = gradient_fn(params, examples)
        return attack.matching_loss(weigh(attack.leaf_weights, gradient), target)

    return loss
