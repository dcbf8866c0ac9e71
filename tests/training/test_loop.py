import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gujax import models, training, transforms
from gujax.data import Split
from gujax.training import _compiled as compiled

MODEL = models.mlp((6,), 3, hidden=(8,))
LOSS = training.cross_entropy_loss(MODEL)
NUM_EXAMPLES = 40


def make_split(seed=0, size=NUM_EXAMPLES):
    rng = np.random.default_rng(seed)
    y = np.arange(size) % 3
    return Split.from_arrays(np.eye(3, 6)[y] * 2 + rng.normal(size=(size, 6)), y)


SPLIT = make_split()
PARAMS = MODEL.init(jax.random.key(7))
OPTIMIZER = optax.chain(transforms.mean(batch_size=8), optax.adam(1e-2))


def train(**changes):
    arguments = {
        "loss_fn": LOSS,
        "params": PARAMS,
        "split": SPLIT,
        "optimizer": OPTIMIZER,
        "batch_size": 8,
        "epochs": 4,
        "key": jax.random.key(0),
    }
    return training.train(**{**arguments, **changes})


def assert_equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def assert_close(tree, other):
    # The same float32 sums in another order, over some dozens of steps.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), tree, other)


class TestTrain:
    def test_is_gradient_descent_written_out_by_hand(self):
        """Full batches with plain SGD have no randomness: every step can be repeated in numpy."""
        result = train(
            optimizer=optax.chain(transforms.mean(batch_size=NUM_EXAMPLES), optax.sgd(0.3)),
            batch_size=NUM_EXAMPLES,
            epochs=5,
        )
        params = PARAMS
        mean_loss = jax.jit(
            jax.value_and_grad(lambda p: jax.vmap(LOSS, (None, 0))(p, (SPLIT.x, SPLIT.y)).mean())
        )
        for epoch in range(5):
            value, grads = mean_loss(params)
            assert result.steps.loss[epoch, 0] == pytest.approx(float(value), rel=1e-5)
            params = jax.tree.map(lambda p, g: p - 0.3 * g, params, grads)
        assert_close(result.params, params)

    def test_is_a_function_of_the_key(self):
        first, again, other = (train(key=jax.random.key(i)) for i in (0, 0, 1))
        assert_equal(first.params, again.params)
        assert not np.array_equal(first.steps.loss, other.steps.loss)

    @pytest.mark.parametrize("sampling", ["shuffle", "poisson"])
    def test_others_than_members_never_influence_the_parameters(self, sampling):
        members = np.arange(NUM_EXAMPLES) % 5 < 3
        plan = training.plan_batches(members, 5, 4, sampling)
        optimizer = optax.chain(
            transforms.uniqueness_gate(
                quantile=0.8,
                relative_ridge=0.1,
                batch_size=plan.physical_size,
                num_examples=NUM_EXAMPLES,
            ),
            optax.adam(1e-2),
        )

        def run(split):
            return train(
                split=split,
                optimizer=optimizer,
                batch_size=5,
                member_mask=members,
                sampling=sampling,
            )

        # What nobody reads may be anything, NaN included.
        spoiled = dataclasses.replace(
            SPLIT,
            x=np.where(members[:, None], SPLIT.x, np.nan),
            y=np.where(members, SPLIT.y, 2 - SPLIT.y).astype(np.int32),
        )
        clean, other = run(SPLIT), run(spoiled)
        assert_equal(clean.params, other.params)
        assert_equal(clean.steps, other.steps)
        ledger = training.aggregation_state(other.opt_state).ledger
        assert (np.asarray(ledger.steps)[~members] == 0).all()
        assert (np.asarray(ledger.nats)[~members] == 0).all()
        assert (np.asarray(ledger.steps)[members] > 0).any()

    def test_a_member_does_influence_them(self):
        changed = dataclasses.replace(SPLIT, x=SPLIT.x + (np.arange(NUM_EXAMPLES) == 3)[:, None])
        assert not np.array_equal(train().steps.loss, train(split=changed).steps.loss)

    def test_the_ledger_counts_by_id_once_per_epoch(self):
        ids = np.arange(NUM_EXAMPLES)[::-1].astype(np.int32)
        members = np.arange(NUM_EXAMPLES) < 15
        optimizer = optax.chain(
            transforms.mean(relative_ridge=0.1, batch_size=8, num_examples=NUM_EXAMPLES),
            optax.sgd(0.1),
        )
        result = train(
            split=dataclasses.replace(SPLIT, ids=ids), optimizer=optimizer, member_mask=members
        )
        ledger = training.aggregation_state(result.opt_state).ledger
        np.testing.assert_array_equal(ledger.steps, np.where(members[::-1], 4, 0))

    def test_metrics_and_accuracy(self):
        test = make_split(seed=1, size=30)
        members = np.arange(NUM_EXAMPLES) < 20
        result = train(apply=MODEL.apply, test=test, epochs=40, member_mask=members)
        assert result.steps.loss.shape == (40, 3)
        np.testing.assert_array_equal(result.steps.batch_size.sum(axis=1), 20)
        np.testing.assert_array_equal(result.steps.contributing, result.steps.batch_size)
        assert result.steps.max_uniqueness is None
        assert result.steps.loss[-1].mean() < 0.5 * result.steps.loss[0].mean()

        def accuracy(split, mask):
            predicted = np.argmax(MODEL.apply(result.params, split.x), axis=-1)
            return np.mean(predicted[mask] == split.y[mask])

        assert result.epochs.train_accuracy.shape == (40,)
        assert result.epochs.train_accuracy[-1] == pytest.approx(accuracy(SPLIT, members))
        assert result.epochs.test_accuracy[-1] == pytest.approx(accuracy(test, slice(None)))
        assert result.epochs.train_accuracy[-1] > 0.8

    def test_a_gate_shows_in_the_metrics(self):
        gate = transforms.uniqueness_gate(quantile=0.5, relative_ridge=0.1, batch_size=8)
        steps = train(optimizer=optax.chain(gate, optax.sgd(0.1))).steps
        assert (steps.contributing < steps.batch_size).all()
        assert (steps.contributing > 0).all()
        assert (steps.max_uniqueness > 0).all()

    def test_watching_changes_nothing(self):
        seen, counts = [], []
        watched = train(
            epochs=3,
            callback=lambda epoch, result: seen.append((epoch, result)),
            progress=lambda done, total: counts.append((done, total)),
        )
        alone = train(epochs=3)
        assert [epoch for epoch, _ in seen] == [0, 1, 2]
        assert counts == [(1, 3), (2, 3), (3, 3)]
        assert_equal(seen[-1][1].params, watched.params)
        for epoch, result in seen:
            np.testing.assert_array_equal(result.steps.loss[0], watched.steps.loss[epoch])
        assert_close(alone.params, watched.params)

    def test_dense_and_factored_gradients_train_alike(self):
        assert_close(train(method="dense").params, train(method="factored").params)

    def test_dp_sgd_draws_its_noise_apart_from_its_batches(self):
        """Without clipping's effect and averaged over runs, DP-SGD moves like SGD plus noise."""
        masks = np.ones((50, NUM_EXAMPLES), bool)
        plan = training.plan_batches(masks, 8, 1, "poisson")
        zero = jax.tree.map(jnp.zeros_like, PARAMS)

        def constant_loss(params, example):
            return 0.0 * sum(jnp.sum(p) for p in jax.tree.leaves(params)) + 0.0 * example[0].sum()

        keys = jax.random.split(jax.random.key(3), 50)
        result = training.train_many(
            constant_loss,
            jax.tree.map(lambda p: jnp.stack([p] * 50), zero),
            SPLIT,
            lambda key: optax.chain(
                transforms.dp_sgd(1.0, 2.0, 8, key, batch_size=plan.physical_size), optax.sgd(1.0)
            ),
            member_masks=masks,
            keys=keys,
            batch_size=8,
            epochs=1,
            sampling="poisson",
        )
        moved = np.concatenate([p.reshape(50, -1) for p in jax.tree.leaves(result.params)], 1)
        variance = plan.steps_per_epoch * (2.0 / 8) ** 2
        # Four standard errors of a variance over all entries of all runs.
        assert abs(moved.var() / variance - 1) < 4 * np.sqrt(2 / moved.size)
        correlation = np.corrcoef(moved)[np.triu_indices(50, 1)]
        assert np.abs(correlation).max() < 6 / np.sqrt(moved.shape[1])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"member_mask": np.ones(3, bool)}, r"member_mask has shape \(3,\)"),
            ({"member_mask": np.ones(NUM_EXAMPLES)}, "type float64, expected .* and bool"),
            ({"batch_size": 41}, "batch_size=41 must be between 1"),
            ({"optimizer": optax.adam(1e-3)}, "does not start with one of gujax.transforms"),
            ({"test": SPLIT}, "pass apply=model.apply as well"),
            (
                {"optimizer": optax.chain(transforms.mean())},
                "batch_size=None; batches have 8 slots",
            ),
            ({"batch_size": 4}, "batch_size=8; batches have 4 slots"),
        ],
    )
    def test_wrong_arguments(self, changes, message):
        with pytest.raises(ValueError, match=message):
            train(**changes)


def train_many(masks, keys, params, **changes):
    arguments = {
        "loss_fn": LOSS,
        "params": params,
        "split": SPLIT,
        "make_optimizer": compiled.Constant(OPTIMIZER),
        "member_masks": masks,
        "keys": keys,
        "batch_size": 8,
        "epochs": 4,
    }
    return training.train_many(**{**arguments, **changes})


class TestRandomizedLoss:
    """The loss of an example is its noise, so that the metrics show what was drawn."""

    @staticmethod
    def noise(params, example):
        _, _, key = example
        return jax.random.uniform(key) + 0.0 * jnp.sum(params["w"])

    def losses(self, batch_size, epochs, **changes):
        return train(
            loss_fn=self.noise,
            params={"w": jnp.zeros(2)},
            optimizer=optax.chain(transforms.mean(batch_size=batch_size), optax.sgd(0.1)),
            batch_size=batch_size,
            epochs=epochs,
            randomized=True,
            **changes,
        ).steps.loss

    def test_every_step_draws_its_own_noise(self):
        drawn = np.asarray(self.losses(batch_size=1, epochs=3)).ravel()
        assert drawn.size == 3 * NUM_EXAMPLES
        assert len(np.unique(drawn)) == drawn.size
        assert stats.kstest(drawn, "uniform").pvalue > 1e-6

    def test_every_example_of_a_batch_draws_its_own_noise(self):
        """Means of 40 uniform numbers spread by √(1/12/40); one number for all, by √(1/12)."""
        means = np.asarray(self.losses(batch_size=NUM_EXAMPLES, epochs=50)).ravel()
        assert np.abs(means - 0.5).max() < 6 * np.sqrt(1 / 12 / NUM_EXAMPLES)
        assert means.std() > 0.5 * np.sqrt(1 / 12 / NUM_EXAMPLES)


class TestTrainMany:
    masks = np.asarray(training.random_halves(jax.random.key(5), 4, NUM_EXAMPLES))
    keys = jax.random.split(jax.random.key(6), 4)
    params = jax.vmap(MODEL.init)(keys)

    def check_each_model(self, many, train_one):
        for m in range(len(self.keys)):
            one = train_one(
                params=jax.tree.map(lambda p, m=m: p[m], self.params),
                key=self.keys[m],
                member_mask=self.masks[m],
            )
            np.testing.assert_array_equal(many.steps.batch_size[m], one.steps.batch_size)
            np.testing.assert_allclose(many.steps.loss[m], one.steps.loss, rtol=1e-3)
            assert_close(jax.tree.map(lambda p, m=m: p[m], many.params), one.params)
            yield m, one

    def test_each_model_is_what_train_gives(self):
        clip = transforms.uniqueness_clip(
            0.5, relative_ridge=0.1, batch_size=8, num_examples=NUM_EXAMPLES
        )
        optimizer = optax.chain(clip, optax.adam(1e-2))
        many = train_many(
            self.masks, self.keys, self.params, make_optimizer=compiled.Constant(optimizer)
        )
        assert many.steps.loss.shape == (4, 4, 3)
        ledger = training.aggregation_state(many.opt_state).ledger
        for m, one in self.check_each_model(many, partial(train, optimizer=optimizer)):
            alone = training.aggregation_state(one.opt_state).ledger
            np.testing.assert_array_equal(ledger.steps[m], alone.steps)
            np.testing.assert_allclose(ledger.nats[m], alone.nats, rtol=1e-2, atol=1e-4)

    def test_each_model_may_learn_labels_of_its_own(self):
        labels = np.random.default_rng(0).dirichlet(np.ones(3), (4, NUM_EXAMPLES))
        labels = labels.astype(np.float32)
        many = train_many(self.masks, self.keys, self.params, labels=labels, apply=MODEL.apply)
        for m, of_model in enumerate(labels):
            alone = train(
                params=jax.tree.map(lambda leaf, m=m: leaf[m], self.params),
                split=dataclasses.replace(SPLIT, y=of_model),
                key=self.keys[m],
                member_mask=self.masks[m],
            )
            assert_close(jax.tree.map(lambda leaf, m=m: leaf[m], many.params), alone.params)
        # Accuracy is about the true labels.
        logits = jax.vmap(lambda p: training.predict(MODEL.apply, p, SPLIT.x))(many.params)
        expected = np.sum((logits.argmax(-1) == SPLIT.y) & self.masks, 1) / self.masks.sum(1)
        np.testing.assert_allclose(many.epochs.train_accuracy[:, -1], expected, rtol=1e-6)
        with pytest.raises(ValueError, match=r"labels has shape \(3, 40, 3\), expected one label"):
            train_many(self.masks, self.keys, self.params, labels=labels[:3])

    def test_each_model_is_what_train_gives_with_poisson_batches(self):
        def optimizer(members):  # four models have more slots than one, to be as safe together
            plan = training.plan_batches(members, 8, 4, "poisson")
            return optax.chain(transforms.mean(batch_size=plan.physical_size), optax.adam(1e-2))

        many = train_many(
            self.masks,
            self.keys,
            self.params,
            make_optimizer=compiled.Constant(optimizer(self.masks)),
            sampling="poisson",
            apply=MODEL.apply,
        )
        alone = partial(
            train, optimizer=optimizer(self.masks[0]), sampling="poisson", apply=MODEL.apply
        )
        for m, one in self.check_each_model(many, alone):
            np.testing.assert_allclose(
                many.epochs.train_accuracy[m], one.epochs.train_accuracy, atol=1e-6
            )

    def test_models_may_differ_in_their_number_of_members(self):
        masks = np.stack([np.arange(NUM_EXAMPLES) < size for size in (40, 25, 9)])
        many = train_many(masks, self.keys[:3], jax.tree.map(lambda p: p[:3], self.params))
        np.testing.assert_array_equal(
            many.steps.batch_size.sum(axis=2), [[size] * 4 for size in (40, 25, 9)]
        )
        # Empty batches at the end of an epoch change nothing: the model with 9 members goes
        # through 2 batches an epoch, as it does alone (the draws differ by nothing else).
        alone = train(
            params=jax.tree.map(lambda p: p[2], self.params),
            key=self.keys[2],
            member_mask=masks[2],
        )
        np.testing.assert_array_equal(many.steps.batch_size[2, :, 2:], 0)
        assert_close(jax.tree.map(lambda p: p[2], many.params), alone.params)

    def test_one_compilation_however_often_it_runs(self):
        make_optimizer = compiled.Constant(
            optax.chain(transforms.mean(batch_size=8), optax.sgd(0.1))
        )
        before = compiled.train_epochs._cache_size()
        for seed in range(3):
            train_many(
                np.roll(self.masks, seed, axis=1),
                jax.random.split(jax.random.key(seed), 4),
                self.params,
                make_optimizer=make_optimizer,
                epochs=40,  # two epochs a chunk, twenty chunks
            )
        assert compiled.train_epochs._cache_size() == before + 1

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"member_masks": np.ones((3, NUM_EXAMPLES), bool)},
                r"keys of shape \(4,\), expected \(3,\)",
            ),
            ({"params": PARAMS}, "expected a leading axis of 4 models"),
        ],
    )
    def test_wrong_arguments(self, changes, message):
        with pytest.raises(ValueError, match=message):
            train_many(self.masks, self.keys, changes.pop("params", self.params), **changes)


class TestLoss:
    def test_cross_entropy_of_known_logits(self):
        identity = models.Model(init=lambda key: (), apply=lambda params, x: x)
        logits = np.log([0.7, 0.2, 0.1])
        loss = training.cross_entropy_loss(identity)((), (jnp.asarray(logits), 1))
        assert loss == pytest.approx(-np.log(0.2), rel=1e-6)

    def test_the_same_model_has_the_same_loss_function(self):
        assert training.cross_entropy_loss(MODEL) is LOSS

    def test_predict_in_parts_is_predict_at_once(self):
        x = np.random.default_rng(0).normal(size=(2100, 6)).astype(np.float32)
        np.testing.assert_allclose(
            training.predict(MODEL.apply, PARAMS, x),
            MODEL.apply(PARAMS, x),
            rtol=1e-5,
            atol=1e-6,
        )

    def test_accuracy_counts_the_masked(self):
        logits = np.eye(3)[[0, 1, 2, 0]]
        y = np.array([0, 1, 1, 1])
        assert training.accuracy(logits, y) == 0.5
        assert training.accuracy(logits, y, np.array([True, True, True, False])) == pytest.approx(
            2 / 3
        )
