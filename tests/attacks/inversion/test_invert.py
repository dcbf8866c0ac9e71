from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from gujax import models, training
from gujax.attacks import inversion

MODEL = models.mlp((8, 8, 1), 10, hidden=(64,))
GRADIENT = inversion.batch_gradient(training.cross_entropy_loss(MODEL))
LIKE = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
ATTACK = inversion.inverting_gradients(
    200, limits=(0.0, 1.0), learning_rate=0.1, total_variation_weight=1e-2
)


@pytest.fixture(scope="module")
def params():
    return jax.jit(MODEL.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def digits():
    """Four images and labels, each a batch of one."""
    data = load_digits()
    x = jnp.asarray(data.images[:4, None, :, :, None] / 16, jnp.float32)
    return x, jnp.asarray(data.target[:4, None])


@pytest.fixture(scope="module")
def shared(params, digits):
    return jax.jit(jax.vmap(GRADIENT, (None, 0)))(params, digits)


def first(tree):
    return jax.tree.map(lambda x: x[0], tree)


def ravel(gradient):
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(gradient)]
    return np.concatenate(leaves)


def quiet(function, *args, inputs_like=LIKE, **kwargs):
    return function(*args, inputs_like=inputs_like, **kwargs)


class TestPublishedAttacks:
    def test_inverting_gradients(self, params, digits, shared):
        x, y = digits
        keys = jax.random.split(jax.random.key(1), 4)
        found = quiet(inversion.invert_many, ATTACK, GRADIENT, params, shared, keys, labels=y)
        assert found.inputs.min() >= 0
        assert found.inputs.max() <= 1
        quality = inversion.image_quality(found.inputs[:, 0], x[:, 0])
        assert quality.ssim.min() > 0.9

    def test_dlg_finds_image_and_label(self, params, digits, shared):
        x, y = digits
        # The paper's smooth activation and wide start: with ReLU, L-BFGS gets stuck.
        model = _smooth_model()
        params = model.init(jax.random.key(0))
        gradient = inversion.batch_gradient(training.cross_entropy_loss(model))
        shared = gradient(params, (x[3], y[3]))
        attack = inversion.dlg(60)
        key = jax.random.key(1)
        found = quiet(inversion.invert, attack, gradient, params, shared, key, num_classes=10)
        assert found.labels.shape == (1, 10)
        assert found.labels[0, y[3, 0]] > 0.99
        assert inversion.feature_error(found.inputs, x[3]).max() < 0.05


def _smooth_model():
    def init(key):
        first, second = jax.random.split(key)
        return {
            "first": jax.random.uniform(first, (64, 40), minval=-0.5, maxval=0.5),
            "second": jax.random.uniform(second, (40, 10), minval=-0.5, maxval=0.5),
        }

    def apply(params, x):
        return jax.nn.sigmoid(x.reshape(-1) @ params["first"]) @ params["second"]

    return models.Model(init, apply)


class TestSearch:
    def test_victims_at_once_are_what_each_alone_is(self, params, digits, shared):
        _, y = digits
        # Without signs: those turn a difference in the last digit into a whole step.
        attack = replace(ATTACK, optimizer=optax.sgd(1.0), num_iterations=20, num_restarts=2)
        keys = jax.random.split(jax.random.key(1), 3)
        three = jax.tree.map(lambda a: a[:3], shared)
        many = quiet(inversion.invert_many, attack, GRADIENT, params, three, keys, labels=y[:3])
        for v in range(3):
            one = jax.tree.map(lambda a, v=v: a[v], shared)
            alone = quiet(inversion.invert, attack, GRADIENT, params, one, keys[v], labels=y[v])
            np.testing.assert_allclose(many.inputs[v], alone.inputs, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(many.matching_loss[v], alone.matching_loss, rtol=1e-4)

    def test_only_the_matched_leaves_matter(self, params, digits, shared):
        x, y = digits
        one = first(shared)
        noise = jax.random.normal(jax.random.key(2), one["layers"][1]["kernel"].shape)
        spoilt = jax.tree.map(lambda a: a, one)
        spoilt["layers"][1]["kernel"] = noise
        attack = replace(ATTACK, leaf_weights=inversion.without("layers/1"))
        errors = {}
        for name, chosen in (("all", ATTACK), ("first layer", attack)):
            found = quiet(
                inversion.invert, chosen, GRADIENT, params, spoilt, jax.random.key(1), labels=y[0]
            )
            errors[name] = float(inversion.feature_error(found.inputs, x[0])[0])
        assert errors["first layer"] < 0.1 < 0.3 < errors["all"]

    def test_the_best_restart_wins(self, params, digits, shared):
        _, y = digits
        observed, key = first(shared), jax.random.key(3)
        attack = replace(ATTACK, num_iterations=3, num_restarts=8)
        found = quiet(inversion.invert, attack, GRADIENT, params, observed, key, labels=y[0])
        lifted = jax.tree.map(lambda a: a[:1], (shared, y))
        state = inversion.search.start(attack, key[None], LIKE, None)
        state = inversion.search.advance(attack, GRADIENT, 3, state, params, *lifted)
        distances = []
        for inputs in state.candidate.inputs[0]:
            u, v = (ravel(g) for g in (GRADIENT(params, (inputs, y[0])), observed))
            distances.append(1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))
        best = int(np.argmin(distances))
        assert found.matching_loss == pytest.approx(distances[best], rel=1e-4)
        np.testing.assert_array_equal(found.inputs, state.candidate.inputs[0, best])
        assert max(distances) > 1.05 * min(distances)

    def test_progress_counts_all_steps_and_does_not_change_the_result(self, params, digits, shared):
        _, y = digits
        seen = []
        results = [
            inversion.invert(
                ATTACK,
                GRADIENT,
                params,
                first(shared),
                jax.random.key(1),
                inputs_like=LIKE,
                labels=y[0],
                progress=progress,
            )
            for progress in (lambda *counts: seen.append(counts), None)
        ]
        assert len(seen) > 1
        assert seen[-1] == (ATTACK.num_iterations, ATTACK.num_iterations)
        np.testing.assert_array_equal(results[0].inputs, results[1].inputs)


def test_tabular_inputs_of_several_arrays_without_labels_from_a_local_update():
    """Two steps of SGD on a regression: any update, any pytree."""
    rng = np.random.default_rng(0)
    params = {"age": jnp.asarray(rng.normal(size=5)), "dose": jnp.asarray(rng.normal(size=(3, 5)))}

    def loss(params, example):
        hidden = example["age"] * params["age"] + example["dose"] @ params["dose"]
        return jnp.sum(jnp.sin(hidden))

    def two_steps(params, examples):
        moved = params
        for _ in range(2):
            grads = inversion.batch_gradient(loss)(moved, examples)
            moved = jax.tree.map(lambda p, g: p - 0.1 * g, moved, grads)
        return jax.tree.map(jnp.subtract, moved, params)

    truth = {"age": jnp.asarray(rng.random(1)), "dose": jnp.asarray(rng.random((1, 3)))}
    with jax.enable_x64(True):
        params, truth = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, truth))
        found = quiet(
            inversion.invert,
            inversion.dlg(40, num_restarts=4),
            two_steps,
            params,
            two_steps(params, truth),
            jax.random.key(0),
            inputs_like=truth,
        )
    assert found.labels is None
    for name, value in truth.items():
        np.testing.assert_allclose(found.inputs[name], value, rtol=1e-4)


class TestWrongArguments:
    def run(self, params, shared, attack=ATTACK, observed=None, **kwargs):
        observed = first(shared) if observed is None else observed
        kwargs = {"inputs_like": LIKE, "labels": jnp.zeros(1, int)} | kwargs
        inversion.invert(attack, GRADIENT, params, observed, jax.random.key(0), **kwargs)

    def test_of_the_search(self, params, shared):
        run = self.run
        with pytest.raises(ValueError, match=r"leaf_weights=only\('conv'\)"):
            run(params, shared, replace(ATTACK, leaf_weights=inversion.only("conv")))
        with pytest.raises(ValueError, match="leaf_weights matches no leaf"):
            run(params, shared, replace(ATTACK, leaf_weights=inversion.only()))
        with pytest.raises(ValueError, match=r"observed has leaves .* gradient_fn gives"):
            run(params, shared, observed=first(shared)["layers"])
        not_finite = jax.tree.map(lambda a: a.at[0].set(jnp.nan), first(shared))
        with pytest.raises(ValueError, match=r"observed\['layers'\].*not finite"):
            run(params, shared, observed=not_finite)
        with pytest.raises(ValueError, match="num_classes=10 asks to search for labels"):
            run(params, shared, num_classes=10)
        with pytest.raises(ValueError, match="num_classes=1 must be at least 2"):
            run(params, shared, labels=None, num_classes=1)
        integers = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.int32)
        with pytest.raises(ValueError, match="inputs_like has arrays of type int32"):
            run(params, shared, inputs_like=integers)
        with pytest.raises(ValueError, match=r"inputs_like has shapes .* leading axis"):
            run(params, shared, inputs_like=jax.ShapeDtypeStruct((), jnp.float32))

    def test_of_many_victims(self, params, digits, shared):
        _, y = digits
        keys = jax.random.split(jax.random.key(0), 3)
        with pytest.raises(ValueError, match=r"observed has an array .* leading axis of 3 victims"):
            quiet(inversion.invert_many, ATTACK, GRADIENT, params, shared, keys, labels=y)
        three = jax.tree.map(lambda a: a[:3], shared)
        with pytest.raises(ValueError, match=r"labels has an array .* leading axis of 3 victims"):
            quiet(inversion.invert_many, ATTACK, GRADIENT, params, three, keys, labels=y)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("num_iterations", 0), ("num_restarts", 0), ("learning_rate", 0.0)],
    )
    def test_of_the_attack(self, name, value):
        with pytest.raises(ValueError, match=rf"{name}.*must be"):
            inversion.inverting_gradients(**{"limits": None, name: value})
        with pytest.raises(ValueError, match="total_variation_weight must be at least 0"):
            inversion.inverting_gradients(limits=None, total_variation_weight=-1.0)
