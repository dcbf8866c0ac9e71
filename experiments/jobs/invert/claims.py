"""Claims of the literature that the job can test on what it was asked to run."""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import (
    differences,
    interval,
    number,
    of_every_seed,
    over_seeds,
    percent,
)
from experiments.inversion.analysis import ATTACKS, strongest

_ALWAYS = 0.99  # more than this share counts as always
_BROKEN = 0.5  # more than this share of examples reconstructed counts as broken
SAFE = 0.05  # at most this share counts as protected

_GEIPING = "Geiping et al. 2020 (arXiv 2003.14053), section 5"
_ZHAO = "Zhao et al. 2020 (arXiv 2001.02610), section 3"
_ZHU = "Zhu et al. 2019 (arXiv 1906.08935), section 5"
PRECODE = "Scheliga et al. 2022 (arXiv 2108.04725), section 5"
ADAPTIVE = "Scheliga et al. 2022 (arXiv 2208.04767)"
CVB = "Scheliga et al. 2023 (arXiv 2309.04515)"
_MO = "Mo et al. 2021 (arXiv 2105.13929)"
_UNIQUENESS = "arXiv 2510.10902 v1"


def claims(summary: Mapping[str, Any], model_name: str) -> list[Claim]:
    """Those claims whose defenses and attacks were run.

    An effect is a difference of success rates, paired by seed; the success on a defense is that of
    the strongest attack made on it, unless the claim is about another.

    Args:
        summary: What `analysis.summarize` returned.
        model_name: The network, in words.
    """
    defenses = summary["defenses"]
    plain = defenses.get("no defense", {"attacks": {}})["attacks"]
    found = _undefended(plain, model_name)
    if "ig" not in plain:
        return found
    undefended = plain["ig"]["success"]
    for family in dict.fromkeys(entry["family"] for entry in defenses.values()):
        key, source, statement = _lowers(family)
        if not statement:
            continue
        measured, effects = [], []
        for label, entry in defenses.items():
            if entry["family"] == family and (best := strongest(entry, ATTACKS)) is not None:
                success = entry["attacks"][best]["success"]
                measured.append(f"{percent(success)} % with {label} ({best})")
                effects.append(interval(differences(undefended, success)))
        if effects:
            without = f"{model_name}: success {percent(undefended)} % without, "
            found.append(
                Claim(key, statement, source, without + ", ".join(measured), verdict(effects))
            )
    found += bottleneck_claims({model_name: defenses})
    if correlation := plain["ig"]["spearman"]:
        found.append(
            Claim(
                "inversion_follows_uniqueness",
                "The more unique an example's gradient, the better inversion reconstructs it.",
                _UNIQUENESS,
                f"{model_name}, no defense: Spearman {number(correlation, 2)}",
                verdict([of_every_seed(correlation)]),
            )
        )
    return found


def _undefended(plain: Mapping[str, Any], model_name: str) -> list[Claim]:
    found = []
    if "ig" in plain:
        success = plain["ig"]["success"]
        found.append(
            Claim(
                "inversion_breaks_undefended",
                "Inverting Gradients reconstructs the inputs of an undefended network (more than "
                f"{100 * _BROKEN:.0f} % of them).",
                _GEIPING,
                f"{model_name}: success {percent(success)} %",
                verdict([interval(over_seeds([x - _BROKEN for x in success["per_seed"]]))]),
            )
        )
    if "dlg" in plain:
        success = plain["dlg"]["success"]
        found.append(
            Claim(
                "dlg_breaks_undefended",
                "DLG reconstructs the inputs of an undefended network without being told labels "
                f"(more than {100 * _BROKEN:.0f} % of them).",
                _ZHU,
                f"{model_name}: success {percent(success)} %",
                verdict([interval(over_seeds([x - _BROKEN for x in success["per_seed"]]))]),
            )
        )
    if "idlg" in plain:
        recovered = plain["idlg"]["label_recovered"]
        found.append(
            Claim(
                "idlg_labels",
                f"iDLG's labels are always right (more than {100 * _ALWAYS:.0f} %).",
                _ZHAO,
                f"{model_name}, no defense: {percent(recovered)} % right",
                verdict([interval(over_seeds([x - _ALWAYS for x in recovered["per_seed"]]))]),
            )
        )
    return found


def _lowers(family: str) -> tuple[str, str, str]:
    """Key, source and statement of the claim that a defense lowers success; empty if none is."""
    if family in ("gaussian", "laplacian"):
        return f"{family}_lowers_success", _ZHU, f"{family.capitalize()} noise lowers success."
    if family == "prune":
        return "prune_lowers_success", _ZHU, "Gradient pruning lowers success."
    if family == "batch":
        return "batch_lowers_success", _MO, "Aggregation over a larger batch lowers success."
    if family == "local_steps":
        return "local_steps_lower_success", _MO, "Aggregation over local steps lowers success."
    return "", "", ""


def bottleneck_claims(networks: Mapping[str, Mapping[str, Any]]) -> list[Claim]:
    """Claims on PRECODE, PPP and CVB, each over all networks that were attacked under it.

    Args:
        networks: By network, in words, the defenses of a summary; one is no defense.
    """
    found = []
    for label in dict.fromkeys(label for defenses in networks.values() for label in defenses):
        entries = {name: d[label] for name, d in networks.items() if label in d}
        family = next(iter(entries.values()))["family"]
        if not all("ig" in entry["attacks"] for entry in entries.values()):
            continue
        if family == "precode":
            plain = {name: networks[name]["no defense"]["attacks"]["ig"] for name in entries}
            found += _precode({name: entry["attacks"] for name, entry in entries.items()}, plain)
        elif family in ("ppp", "cvb"):
            found.append(_holds(label, family, entries))
    return found


def _precode(
    networks: Mapping[str, Mapping[str, Any]], plain: Mapping[str, Mapping[str, Any]]
) -> list[Claim]:
    undefended = {name: attack["success"] for name, attack in plain.items()}
    naive = {name: attacks["ig"]["success"] for name, attacks in networks.items()}
    adaptive = {name: attacks["adaptive"]["success"] for name, attacks in networks.items()}
    above = [over_seeds([x - _BROKEN for x in entry["per_seed"]]) for entry in adaptive.values()]
    gains = [differences(adaptive[name], naive[name]) for name in networks]
    # An attack that fails anyway shows nothing of a defense.
    drops = [differences(undefended[name], naive[name]) for name in networks]
    stopped = [below(entry, SAFE) for entry in naive.values()]
    return [
        Claim(
            "precode_stops_inversion",
            f"PRECODE lets Inverting Gradients succeed on at most {100 * SAFE:.0f} % of examples, "
            "fewer than without it.",
            PRECODE,
            "; ".join(
                f"{name}: success {percent(x)} % (not adaptive), {percent(undefended[name])} % "
                "without"
                for name, x in naive.items()
            ),
            verdict([interval(effect) for effect in (*stopped, *drops)]),
        ),
        Claim(
            "adaptive_attack_breaks_precode",
            "An attack that ignores the stochastic gradients disables PRECODE: it reconstructs "
            f"more than {100 * _BROKEN:.0f} %, and more than the attack that does not.",
            ADAPTIVE,
            "; ".join(
                f"{name}: success {percent(x)} % adaptive, {percent(naive[name])} % not"
                for name, x in adaptive.items()
            ),
            verdict([interval(effect) for effect in (*above, *gains)]),
        ),
    ]


def _holds(label: str, family: str, entries: Mapping[str, Mapping[str, Any]]) -> Claim:
    measured, effects = [], []
    for name, entry in entries.items():
        best = strongest(entry, ATTACKS)
        assert best is not None
        success = entry["attacks"][best]["success"]
        measured.append(f"{name}: success {percent(success)} % ({best}, the strongest)")
        effects.append(interval(below(success, SAFE)))
    return Claim(
        f"{key_of(label)}_holds",
        f"{label} lets no attack succeed on more than {100 * SAFE:.0f} % of examples.",
        ADAPTIVE if family == "ppp" else CVB,
        "; ".join(measured),
        verdict(effects),
    )


def key_of(label: str) -> str:
    """A defense's label, with its strength, as a part of a claim's key."""
    return label.lower().replace(" ", "_")


def below(entry: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """By how much a result of `over_seeds` stays below a limit."""
    return over_seeds([limit - x for x in entry["per_seed"]])
