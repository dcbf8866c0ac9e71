"""A small run of the job `precode` through the real command line, and what it refuses."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from experiments.framework.results import Results, entry
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.sharing import share
from experiments.jobs.precode.claims import claims
from experiments.tasks.task import Task
from gujax import data, models, training
from gujax.trees import named_leaves
from tests.experiments.running import check_report, complete_run, mistakes_of

SEEDS, VICTIMS, EPOCHS = 2, 3, 2
RATES = (1e-5, 0.03)


run, test_the_run_is_complete = complete_run(
    f"precode --models mlp --hidden 12 12 --defenses precode --seeds {SEEDS} "
    f"--victims {VICTIMS} --iterations 5 --epochs {EPOCHS} --train-size 300 "
    f"--learning-rates {RATES[0]} {RATES[1]}",
    "claims.json",
    "examples.parquet",
    "training.parquet",
    "pictures-mlp.npz",
)


@pytest.fixture(scope="module")
def results(run):
    found = Results.read(run[0] / "results.parquet")
    (network,) = found.values("network")
    return found.where(network=network)


def test_no_bottleneck_is_without_its_adaptive_attack(run, results):
    def made(defense):
        return set(results.where(defense=defense).values("attack"))

    assert made("no defense") == {"ig", "analytic"}
    searches = {"ig", "adaptive", "averaged", "patient", "bypass", "told"}
    assert made("PRECODE") == searches | {"analytic"}
    frame = pl.read_parquet(run[0] / "examples.parquet")
    assert len(frame) == SEEDS * VICTIMS * 9
    # The first layer comes before the bottleneck, which leaves its input to be read.
    assert frame.filter(pl.col("attack") == "analytic")["success"].all()


def test_accuracies_follow_from_the_table_of_epochs(run, results):
    frame = pl.read_parquet(run[0] / "training.parquet")
    labels = results.values("defense")
    assert labels == ["no defense", "PRECODE"]
    assert len(frame) == SEEDS * EPOCHS * len(labels)
    last = frame.filter(pl.col("epoch") == EPOCHS)
    accuracy = {
        label: last.filter(pl.col("defense") == label).sort("seed")["test_accuracy"].to_numpy()
        for label in labels
    }
    for label in labels:
        found = results.get("test_accuracy", defense=label)
        np.testing.assert_allclose(found.values, accuracy[label])
    lost = accuracy["PRECODE"] - accuracy["no defense"]
    found = results.get("accuracy_difference", defense="PRECODE")
    np.testing.assert_allclose(found.values, lost)
    assert accuracy["PRECODE"].std() > 0


def test_the_learning_rate_is_the_best_on_held_out_examples(results):
    for label in results.values("defense"):
        of_defense = results.where(defense=label)
        assert of_defense.values("learning_rate") == list(RATES)
        tried = [of_defense.get("validation_accuracy", learning_rate=r).mean for r in RATES]
        # The smaller one leaves a network as it was at initialization.
        assert tried[1] > tried[0]
        assert of_defense.get("learning_rate").mean == RATES[1]


def test_the_report_loads_nothing_and_shows_the_numbers(run, results):
    _, text = run
    page = check_report(run, images=3)
    for label in results.values("defense"):
        accuracy = f"{100 * results.get('test_accuracy', defense=label).mean:.1f} ±"
        assert accuracy in page
        assert accuracy in text
        assert label in text


FAMILIES = {"no defense": "none", "PRECODE": "precode", "PPP 1": "ppp", "CVB": "cvb"}


def network(name, defenses):
    """Entries of a network: for each defense its accuracy, and success by attack."""
    for label, (accuracy, attacks) in defenses.items():
        place = {"network": name, "defense": label}
        if label != "no defense":
            lost = np.subtract(accuracy, [0.9, 0.91, 0.92])
            yield entry("accuracy_difference", lost, **place)
        for attack, success in attacks.items():
            yield entry("success", success, **place, attack=attack)
            yield entry("feature_error", [0.5, 0.5, 0.5], **place, attack=attack)


def claimed_of(*networks):
    """The claims that results of these networks test."""
    labels = {keys["defense"] for entries in networks for _, _, keys in entries}
    families = {label: family for label, family in FAMILIES.items() if label in labels}
    plan = SimpleNamespace(families=families)
    return claims(plan, Results(e for entries in networks for e in entries))


def test_verdicts_follow_from_all_networks_and_the_strongest_attack():
    high, none = [0.9, 1.0, 0.95], [0.0, 0.0, 0.0]
    near, far = [0.9, 0.905, 0.92], [0.85, 0.86, 0.87]
    linear = {
        "no defense": (near, {"ig": high}),
        "PRECODE": (near, {"ig": none, "adaptive": high, "averaged": none}),
        "PPP 1": (far, {"ig": none, "adaptive": none, "analytic": high}),
    }
    convolutional = {
        "no defense": (near, {"ig": high}),
        "PRECODE": (near, {"ig": none, "adaptive": none, "averaged": none}),
        "PPP 1": (far, {"ig": none, "adaptive": none}),
        "CVB": (near, {"ig": none, "adaptive": none}),
    }
    found = claimed_of([*network("a", linear)], [*network("b", convolutional)])
    assert {claim.key: claim.verdict for claim in found} == {
        "precode_stops_inversion": "reproduced",
        "adaptive_attack_breaks_precode": "contradicted",  # of b it reconstructs nothing
        "ppp_1_holds": "contradicted",  # what the analytic attack reads from a
        "cvb_holds": "reproduced",
        "precode_keeps_accuracy": "reproduced",
        "ppp_1_keeps_accuracy": "contradicted",
        "cvb_keeps_accuracy": "reproduced",
    }
    assert all("a: " in claim.measured for claim in found if not claim.key.startswith("cvb"))


def test_what_fails_anyway_is_not_stopped_by_precode():
    low, none, accuracy = [0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.9, 0.9, 0.91]
    defenses = {
        "no defense": (accuracy, {"ig": low}),
        "PRECODE": (accuracy, {"ig": none, "adaptive": none}),
    }
    verdicts = {claim.key: claim.verdict for claim in claimed_of([*network("a", defenses)])}
    assert verdicts["precode_stops_inversion"] == "partly"


def test_in_training_ppp_adds_noise_to_what_the_adaptive_attack_would_match():
    rng = np.random.default_rng(0)
    split = data.Split.from_arrays(rng.normal(size=(4, 60)), np.arange(4) % 3)
    model = models.mlp((60,), 3, (50, 40))
    task = Task(
        data.Dataset("random", split, split, 3), model, "MLP", training.cross_entropy_loss(model)
    )
    ppp, precode = build_shared_updates(task, ["ppp:0.5", "precode"], Setting())
    gradient = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 2.0), model_shapes(ppp))
    optimizer = ppp.in_training(jax.random.key(0))
    first, state = optimizer.update(gradient, optimizer.init(gradient))
    second, _ = optimizer.update(gradient, state)
    noise = []
    for (path, a), (_, b), (_, c) in zip(*map(named_leaves, (first, second, gradient))):
        if path in ppp.stochastic:
            np.testing.assert_array_equal(a, c)
        else:
            noise.append(np.stack([np.ravel(a - c), np.ravel(b - c)]))
    noise = np.concatenate(noise, axis=1)
    # Half the rms of these leaves, all of whose entries are 2; and fresh in every step.
    np.testing.assert_allclose(noise.std(axis=1), 1.0, rtol=0.05)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.08
    unchanged = precode.in_training(jax.random.key(0))
    jax.tree.map(
        np.testing.assert_array_equal,
        unchanged.update(gradient, unchanged.init(gradient))[0],
        gradient,
    )


def model_shapes(shared):
    return jax.eval_shape(shared.model.init, jax.random.key(0))


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "precode --models mlp --hidden 8 8",
    [
        ("--defenses cvb", "defense 'cvb': bottleneck=convolutional() is for images"),
        (
            "--bottleneck-before layers/0",
            "the bottleneck leaves nothing to match",
        ),
        ("--bottleneck-before head", "defense 'precode': before='head' is no layer"),
        ("--defenses ppp:-1", "defense 'ppp:-1': its strength -1 must be at least 0"),
        ("--defenses gate", "--defenses gate is none of precode, ppp, cvb; the job `invert`"),
        ("--defenses", "--defenses is empty"),
        ("--models", "--models is empty"),
        ("--models lenet --dataset breast_cancer", "use models.mlp for vectors"),
        ("--victims 2000", "--victims 2000 is more than the 1437 training examples"),
        ("--batch-size 1400", "--batch-size 1400 is more than the 1293 examples"),
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--epochs 0", "--epochs 0 must be at least 1"),
        ("--learning-rates", "--learning-rates is empty"),
        ("--learning-rates 0", "--learning-rates 0.0 must be positive"),
        ("--early-beta -1", "--early-beta -1.0 must be at least 0"),
        ("--ssim-threshold 1", "--ssim-threshold 1.0 must be"),
    ],
)


def test_who_is_told_the_noise_models_the_update_exactly():
    """The bound knows the victim's own draws; the others' draws give another gradient."""
    model = models.mlp((20,), 3, (8, 8))
    split = data.Split.from_arrays(np.random.default_rng(0).normal(size=(4, 20)), [0, 1, 2, 0])
    task = Task(
        data.Dataset("random", split, split, 3), model, "MLP", training.cross_entropy_loss(model)
    )
    (precode,) = build_shared_updates(task, ["precode"], Setting(batch_size=2))
    params = precode.model.init(jax.random.key(0))
    received = share(precode, params, split, jax.random.key(1))
    x, y = received.examples
    told, guess = precode.told.model_of_update(), precode.adaptive.model_of_update()
    for place in range(2):
        observed = jax.tree.map(lambda leaf, place=place: leaf[place], received.updates)
        data_of_keys = jax.random.key_data(jax.random.split(received.keys[place], 2))
        expected = told(params, (x[place], (y[place], data_of_keys)))
        differences = jax.tree.map(lambda a, b: float(abs(a - b).max()), observed, expected)
        assert max(jax.tree.leaves(differences)) < 1e-6
        guessed = guess(params, (x[place], y[place]))
        differences = jax.tree.map(lambda a, b: float(abs(a - b).max()), observed, guessed)
        assert max(jax.tree.leaves(differences)) > 1e-3


def test_what_adaptive_attacks_lack_is_judged_by_quality():
    def of(name, **ssim):
        return [
            entry("ssim", values, network=name, defense="PRECODE", attack=attack)
            for attack, values in ssim.items()
        ]

    low, mid, high = [0.2, 0.22, 0.21], [0.4, 0.43, 0.41], [0.9, 0.91, 0.92]
    successes = [
        entry("success", [0.0, 0.0, 0.0], network="a", defense=defense, attack=attack)
        for defense, attack in (("no defense", "ig"), ("PRECODE", "ig"), ("PRECODE", "adaptive"))
    ]
    found = claimed_of(successes + of("a", adaptive=low, patient=mid, told=high))
    verdicts = {claim.key: claim.verdict for claim in found}
    assert verdicts["averaging_helps_adaptive_attack"] == "reproduced"
    assert verdicts["noise_is_what_adaptive_attack_lacks"] == "reproduced"
    found = claimed_of(successes + of("a", adaptive=mid, patient=low, told=low))
    verdicts = {claim.key: claim.verdict for claim in found}
    assert verdicts["averaging_helps_adaptive_attack"] == "contradicted"
    assert verdicts["noise_is_what_adaptive_attack_lacks"] == "not told apart"
