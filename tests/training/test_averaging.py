import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax import training, transforms
from gujax.training import average_parameters, released_params
from tests.training.test_loop import MODEL, SPLIT, make_split, train


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
def test_is_the_moving_average_written_out(decay):
    optimizer = optax.chain(optax.sgd(1.0), average_parameters(decay))
    values = np.array([3.0, -1.0, 4.0, 1.5])
    params = jnp.asarray(2.0)
    state, average = optimizer.init(params), 2.0
    for step, value in enumerate(values):
        updates, state = optimizer.update(params - value, state, params)
        params = optax.apply_updates(params, updates)
        assert params == value
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * value
        assert released_params(params, state) == pytest.approx(average, rel=1e-6)


def test_training_is_the_same_and_evaluates_the_average():
    def chain(*last):
        return optax.chain(transforms.mean(batch_size=8), optax.sgd(2.0), *last)

    arguments = {"epochs": 3, "apply": MODEL.apply, "test": make_split(1)}
    plain = train(optimizer=chain(), **arguments)
    averaged = train(optimizer=chain(average_parameters(0.95)), **arguments)
    jax.tree.map(np.testing.assert_array_equal, plain.params, averaged.params)
    released = released_params(averaged.params, averaged.opt_state)
    logits = MODEL.apply(released, SPLIT.x)
    assert averaged.epochs.train_accuracy[-1] == training.accuracy(logits, SPLIT.y)
    assert not np.allclose(jax.tree.leaves(released)[0], jax.tree.leaves(plain.params)[0])
    assert released_params(plain.params, plain.opt_state) is plain.params


def test_wrong_arguments():
    with pytest.raises(ValueError, match="decay"):
        average_parameters(1.5)
    transformation = average_parameters(0.5)
    with pytest.raises(ValueError, match="params is missing"):
        transformation.update(jnp.zeros(2), transformation.init(jnp.zeros(2)))
