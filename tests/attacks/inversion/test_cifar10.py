"""The attacks at the size at which they are published; too weak an attack is a wrong attack.

16 images (4 for DLG), networks at initialization, batches of one. All is the attacks' default but
the weight of total variation on the MLP, whose gradient alone determines its input: there the
default smooths more than is needed (SSIM 0.90).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import data, models, training
from gujax.attacks import inversion
from gujax.models import lenet
from tests.data.prepared import prepared_folder

SHAPE = (32, 32, 3)
LIKE = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cifar10():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(prepared_folder("cifar10_jpeg")))
        return data.load("cifar10_jpeg", train_size=1000, test_split="test[:1%]").train


def share(model, x, y):
    """Parameters, the attacker's model of the update, and the updates of every image."""
    params = jax.jit(model.init)(jax.random.key(0))
    loss_fn = inversion.surrogate_relu(training.cross_entropy_loss(model))
    gradient_fn = inversion.batch_gradient(loss_fn)
    shared = jax.jit(jax.vmap(gradient_fn, (None, 0)))(params, (x[:, None], y[:, None]))
    return params, gradient_fn, shared


def invert_standardized(model, cifar10, num_iterations, **options):
    """SSIM and success of Inverting Gradients with labels from the last layer, and the updates."""
    mean, deviation = cifar10.x.mean((0, 1, 2)), cifar10.x.std((0, 1, 2))
    truth, y = cifar10.x[:16], cifar10.y[:16]
    params, gradient_fn, shared = share(model, jnp.asarray((truth - mean) / deviation), y)
    last = shared["head"] if "head" in shared else shared["layers"][max(shared["layers"])]
    labels = jax.vmap(inversion.idlg_label)(last["kernel"])
    np.testing.assert_array_equal(labels, y)
    limits = (-mean / deviation, (1 - mean) / deviation)
    found = inversion.invert_many(
        inversion.inverting_gradients(num_iterations, limits=limits, **options),
        gradient_fn,
        params,
        shared,
        jax.random.split(jax.random.key(1), 16),
        inputs_like=LIKE,
        labels=labels[:, None],
    )
    images = np.asarray(found.inputs[:, 0]) * deviation + mean
    quality = inversion.image_quality(images, truth)
    print(f"SSIM {quality.ssim.mean():.3f}, success {quality.success_rate:.3f}")
    return quality, shared, (truth - mean) / deviation


def test_inverting_gradients_on_a_relu_lenet(cifar10):
    quality, *_ = invert_standardized(lenet(SHAPE, 10, "relu", by_patches=True), cifar10, 600)
    assert quality.ssim.mean() >= 0.75
    assert quality.success_rate >= 0.9


def test_inverting_gradients_and_the_analytic_attack_on_an_mlp(cifar10):
    model = models.mlp(SHAPE, 10, hidden=(1024, 1024))
    quality, shared, truth = invert_standardized(model, cifar10, 300, total_variation_weight=1e-2)
    assert quality.ssim.mean() >= 0.9
    assert quality.success_rate == 1
    first = shared["layers"][0]
    found = jax.vmap(inversion.first_layer_input)(first["kernel"], first["bias"])
    assert inversion.feature_error(found.reshape(truth.shape), truth).max() < 1e-3


def test_dlg_on_the_sigmoid_lenet(cifar10):
    x, y = jnp.asarray(cifar10.x[:4]), cifar10.y[:4]
    params, gradient_fn, shared = share(lenet(SHAPE, 10, by_patches=True), x, y)
    found = inversion.invert_many(
        inversion.dlg(),
        gradient_fn,
        params,
        shared,
        jax.random.split(jax.random.key(1), 4),
        inputs_like=LIKE,
        num_classes=10,
    )
    quality = inversion.image_quality(found.inputs[:, 0], x)
    print(f"SSIM {quality.ssim.mean():.3f}, success {quality.success_rate:.3f}")
    np.testing.assert_array_equal(found.labels[:, 0].argmax(-1), y)
    assert quality.ssim.mean() >= 0.9
    assert quality.success_rate == 1
