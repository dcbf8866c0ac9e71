import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax.attacks import inversion


@jax.jit
def last_layer(x, y, kernel, bias):
    """Gradient of the mean cross-entropy of a linear layer, and its mean probabilities."""

    def loss(kernel, bias):
        logits = x @ kernel + bias
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    return *jax.grad(loss, (0, 1))(kernel, bias), jax.nn.softmax(x @ kernel + bias).mean(0)


def random_layer(seed, batch_size, num_classes, scale):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(np.abs(rng.normal(size=(batch_size, 6))), jnp.float32)
    y = jnp.asarray(rng.integers(num_classes, size=batch_size))
    kernel = jnp.asarray(scale * rng.normal(size=(6, num_classes)), jnp.float32)
    return y, *last_layer(x, y, kernel, jnp.zeros(num_classes))


@pytest.mark.parametrize("scale", [0.01, 3.0])  # as good as untrained; confident and often wrong
@pytest.mark.parametrize("num_classes", [2, 10])
def test_the_label_of_one_example_is_always_found(scale, num_classes):
    for seed in range(20):
        y, kernel, bias, _ = random_layer(seed, 1, num_classes, scale)
        assert inversion.idlg_label(kernel) == y[0]
        assert inversion.count_labels(bias, 1)[0] == y[0]


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_labels_of_a_batch_are_exact_given_the_mean_probabilities(scale):
    for seed in range(10):
        y, _, bias, probabilities = random_layer(seed, 12, 5, scale)
        np.testing.assert_array_equal(inversion.count_labels(bias, 12, probabilities), np.sort(y))


def test_labels_of_a_batch_of_an_untrained_model_need_no_estimate():
    for seed in range(10):
        y, _, bias, _ = random_layer(seed, 12, 5, 0.01)
        np.testing.assert_array_equal(inversion.count_labels(bias, 12), np.sort(y))


def test_a_negative_entry_proves_its_class():
    # Class 2 has the largest estimated count, but only class 0 is certain to be there.
    bias = jnp.array([-0.01, 0.3, 0.05])
    probabilities = jnp.array([0.05, 0.1, 0.85])
    np.testing.assert_array_equal(inversion.count_labels(bias, 1, probabilities), [0])
    np.testing.assert_array_equal(inversion.count_labels(bias, 2, probabilities), [0, 2])


def test_many_at_once():
    layers = [random_layer(seed, 12, 5, 0.01) for seed in range(3)]
    bias = jnp.stack([layer[2] for layer in layers])
    labels = jax.jit(jax.vmap(lambda b: inversion.count_labels(b, 12)))(bias)
    np.testing.assert_array_equal(labels, np.sort([layer[0] for layer in layers]))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        inversion.count_labels(jnp.zeros(3), 0)
    with pytest.raises(ValueError, match="mean_probabilities has shape"):
        inversion.count_labels(jnp.zeros(3), 1, jnp.zeros(2))
