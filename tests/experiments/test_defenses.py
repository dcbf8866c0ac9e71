"""Training-time defenses by name, and the options of earlier versions that gave their strengths."""

import importlib
import sys

import jax
import numpy as np
import pytest

from experiments.framework import command_line
from experiments.framework.errors import UserError
from experiments.framework.options import RunOptions, Several, options, without_retired
from experiments.membership import defenses
from experiments.membership.defenses import _registry, methods, parse_defense, parse_defenses
from experiments.membership.options import DefenseOptions
from experiments.tasks.recipe import Recipe

DUMMY = '''
"""Every gradient is scaled."""

import optax

from experiments.membership.defenses import sgd
from experiments.membership.defenses._method import Method, Strength


def start(strength, place):
    mean = sgd.METHOD.start(None, place)

    def update(updates, state, params=None, **extra):
        updates, state = mean.update(updates, state, params, **extra)
        return optax.tree.scale(strength, updates), state

    return optax.GradientTransformationExtraArgs(mean.init, update)


METHOD = Method(
    label="scaled {:g}".format,
    color="#123456",
    start=start,
    strength=Strength("factor on gradients", (0.5,), lambda factor: factor > 0, "positive"),
)
'''


@options
class Compared(DefenseOptions):
    """Options as of a job that compares defenses.

    Attributes:
        defenses: What to compare.
    """

    defenses: Several[str] = ("sgd", "gate", "clip:0.5", "clip:0.6")


@options
class Single(DefenseOptions):
    """Options as of a job that trains one model.

    Attributes:
        defense: How to train.
    """

    defense: str = "sgd"


@pytest.fixture
def dummy(tmp_path, monkeypatch):
    """A further file beside those of the defenses; nothing else knows of it."""
    (tmp_path / "scaled.py").write_text(DUMMY)
    monkeypatch.setattr(defenses, "__path__", [*defenses.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    methods.cache_clear()
    yield
    methods.cache_clear()
    sys.modules.pop("experiments.membership.defenses.scaled", None)


def labels(names, **settings):
    return [defense.label for defense in parse_defenses(names, **settings)]


def test_names_stand_for_defenses():
    names = ["sgd", "gate", "clip", "budget", "censor", "dp_sgd", "gate:0.7", "sgd"]
    assert labels(names) == [
        "SGD",
        "gate q=0.9",
        "clip 0.01",
        "budget 1",
        "censor 1 %",
        "censor 10 %",
        "DP-SGD ε=2",
        "DP-SGD ε=8",
        "gate q=0.7",
    ]
    assert parse_defense("dp_sgd").strength == 8
    (private,) = parse_defenses(["dp_sgd:3"], delta=1e-4)
    assert (private.epsilon, private.delta) == (3, 1e-4)
    assert parse_defense("gate").epsilon is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gates", "unknown defense 'gates'; choose from budget, censor, clip, dp_noise, "),
        ("gate:1.5", "'gate:1.5' must be above 0 and at most 1; it is the quantile"),
        ("clip:0", "'clip:0' must be positive"),
        ("budget:-1", "'budget:-1' must be positive"),
        ("censor:1", "'censor:1' must be between 0 and 1"),
        ("dp_sgd:-8", "'dp_sgd:-8' must be positive"),
        ("gate:high", "'gate:high' is not a finite number; it is the quantile"),
        ("dp_sgd:inf", "'dp_sgd:inf' is not a finite number"),
        ("early_stop:2.5", "'early_stop:2.5' must be a whole number from 1 on; it is the number"),
        ("out_of_fold:-1", "'out_of_fold:-1' must be 0 or more; it is the standard deviation"),
        ("sgd:1", "'sgd:1' takes no strength; write 'sgd'"),
    ],
)
def test_a_wrong_name_is_told_in_a_sentence(name, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        parse_defenses(["sgd", name])
    with pytest.raises(UserError):
        Compared(defenses=("sgd", name))


def test_every_family_says_what_it_is():
    families = (
        "budget censor clip dp_noise dp_sgd early_stop gate gate_chance gate_norm out_of_fold"
    )
    assert list(methods()) == [*families.split(), "sgd"]
    for family, method in methods().items():
        strengths = (None,) if method.strength is None else method.strength.defaults
        for strength in strengths:
            assert method.strength is None or method.strength.allowed(strength), family
            assert method.label(strength)
    assert len({method.color for method in methods().values()}) == len(methods())


def test_a_new_defense_touches_its_own_file_only(dummy):
    (scaled,) = parse_defenses(["scaled:0.25"])
    assert (scaled.label, scaled.color) == ("scaled 0.25", "#123456")
    assert Compared(defenses=("sgd", "scaled")).chosen[1].strength == 0.5
    with pytest.raises(UserError, match="'scaled:-1' must be positive; it is the factor on grad"):
        parse_defenses(["scaled:-1"])

    recipe = Recipe("momentum", 1.0, False, 4, 1)
    grads, params = {"w": np.ones((4, 3), np.float32)}, {"w": np.zeros(3, np.float32)}
    moved = {}
    for defense in parse_defenses(["sgd", "scaled:0.25"]):
        ready = defenses.prepare(defense, recipe, np.ones(4, bool), relative_ridge=0.1)
        optimizer = ready.make_optimizer(jax.random.key(0))
        given = {"example_ids": np.arange(4), "mask": np.ones(4, bool)}
        updates, _ = optimizer.update(grads, optimizer.init(params), params, **given)
        moved[defense.family] = updates["w"]
    np.testing.assert_allclose(moved["scaled"], 0.25 * moved["sgd"])
    np.testing.assert_allclose(moved["sgd"], -1)


def test_a_dummy_leaves_no_trace():
    assert "scaled" not in methods()
    assert _registry.methods is methods


def test_strengths_of_earlier_options_replace_those_that_were_not_asked_for(capsys):
    chosen = [defense.label for defense in Compared(gate_quantile=(0.8,)).chosen]
    assert chosen == ["SGD", "gate q=0.8", "clip 0.5", "clip 0.6"]
    assert "--gate-quantile will go in the next release; write --defenses gate:0.8" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    # The job's own default is not asked for; what the user names is.
    chosen = [defense.label for defense in Compared(clip_caps=(1, 2)).chosen]
    assert chosen == ["SGD", "gate q=0.9", "clip 1", "clip 2"]
    named = Compared(defenses=("sgd", "clip:3", "dp_sgd"), clip_caps=(1,), epsilons=(1,))
    assert [defense.label for defense in named.chosen] == ["SGD", "clip 3", "DP-SGD ε=1"]
    assert [d.label for d in Compared(clip_caps=()).chosen] == ["SGD", "gate q=0.9"]
    assert "leave clip out of --defenses" in capsys.readouterr().err.replace("\n", " ")
    (single,) = Single(defense="dp_sgd", epsilon=(3,), delta=0.1).chosen
    assert (single.label, single.delta) == ("DP-SGD ε=3", 0.1)
    assert "write --defense dp_sgd:3" in capsys.readouterr().err.replace("\n", " ")


def test_strengths_of_earlier_options_are_checked_under_their_names():
    with pytest.raises(UserError, match=r"--gate-quantile 1\.5 must be above 0 and at most 1"):
        Compared(gate_quantile=(1.5,))
    with pytest.raises(UserError, match=r"--epsilons -2\.0 must be positive"):
        Single(epsilons=(-2.0,))


def test_help_does_not_list_them(capsys):
    assert "gate_quantile" in Compared.__dataclass_fields__
    with pytest.raises(SystemExit):
        command_line.main(["tests.experiments.test_defenses", "--help"])
    listed = capsys.readouterr().out
    assert "--defenses" in listed
    assert "--delta" in listed
    assert "quantile" not in listed
    assert without_retired(Plain) is Plain


@options
class Plain(RunOptions):
    """Options without any of earlier versions."""


Options = Compared


def run(options):
    """Makes this module a job, whose help is shown above."""
    return 0
