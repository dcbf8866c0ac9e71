"""Claims of the literature on PRECODE, PPP and CVB, each over all networks attacked under it."""

from collections.abc import Iterator, Mapping

from experiments.framework.claims import Claim, above, below, test
from experiments.framework.results import Measured, Results
from experiments.inversion.analysis import strongest
from experiments.report.formats import number, percent
from experiments.report.page import VERDICTS

BROKEN = 0.5  # more than this share of examples reconstructed counts as broken
SAFE = 0.05  # at most this share counts as protected

PRECODE = "Scheliga et al. 2022 (arXiv 2108.04725), section 5"
ADAPTIVE = "Scheliga et al. 2022 (arXiv 2208.04767)"
CVB = "Scheliga et al. 2023 (arXiv 2309.04515)"

RULE = (
    "Claims are judged, network by network, by differences paired by seed and by what lies on "
    f"their side of the limit that they name. {VERDICTS}"
)


def bottleneck_claims(
    families: Mapping[str, str], networks: Mapping[str, Results]
) -> Iterator[Claim]:
    """The claims on every bottleneck that was attacked without knowing of it too.

    Args:
        families: The defenses' families by their labels.
        networks: Results of the attacks by network, in words.
    """
    for label, family in families.items():
        under = {
            name: results.where(defense=label)
            for name, results in networks.items()
            if label in results.values("defense")
        }
        if any(results.find("success", attack="ig") is None for results in under.values()):
            continue
        if family == "precode":
            yield from _limits(under)
            yield from _precode(
                naive=_success(under, "ig"),
                adaptive=_success(under, "adaptive"),
                plain=(plain := _success(_undefended(networks, under), "ig")),
            )
            yield from _bypassed(under, plain)
        elif family in ("ppp", "cvb"):
            yield _holds(label, ADAPTIVE if family == "ppp" else CVB, under)


def key_part(label: str) -> str:
    """A defense's label, with its strength, as a part of a claim's key."""
    return label.lower().replace(" ", "_")


def _success(networks: Mapping[str, Results], attack: str) -> dict[str, Measured]:
    return {name: found.get("success", attack=attack) for name, found in networks.items()}


def _undefended(networks: Mapping[str, Results], like: Mapping[str, Results]) -> dict[str, Results]:
    return {name: networks[name].where(defense="no defense") for name in like}


def _bypassed(networks: Mapping[str, Results], plain: Mapping[str, Measured]) -> Iterator[Claim]:
    """Whether the noise is of no avail against who reads what it did from the update."""
    found = {
        name: success
        for name, results in networks.items()
        if (success := results.find("success", attack="bypass")) is not None
    }
    if found:
        show = percent()
        yield test(
            "encoder_undoes_precode",
            "What PRECODE's noise did stands in the update: who takes the error behind the noise "
            f"from the gradient of the encoder's bias reconstructs more than {100 * BROKEN:.0f} % "
            f"of examples, and at most {100 * SAFE:.0f} points fewer than without PRECODE.",
            "ours; not in the papers",
            "; ".join(
                f"{name}: success {show(x)} %, {show(plain[name])} % without PRECODE"
                for name, x in found.items()
            ),
            [above(x, BROKEN) for x in found.values()]
            + [above(x - plain[name], -SAFE) for name, x in found.items()],
        )


def _limits(networks: Mapping[str, Results]) -> Iterator[Claim]:
    """What the adaptive attacks lack, by the quality that searches with more knowledge reach."""
    for key, statement, source, better, than in (
        (
            "averaging_helps_adaptive_attack",
            "The attack on the leaves before PRECODE's bottleneck does better where it averages "
            "over the noise behind it than where it guesses one draw.",
            "ours; not in the papers",
            "patient",
            "adaptive",
        ),
        (
            "noise_is_what_adaptive_attack_lacks",
            "What an attack on PRECODE's first leaves lacks is the noise: told the draws, the same "
            "search on all leaves does better than one that averages over them.",
            "ours: a bound, no attack",
            "told",
            "patient",
        ),
    ):
        pairs = {
            name: (a, b)
            for name, found in networks.items()
            if (a := _quality(found, better)) is not None
            and (b := _quality(found, than)) is not None
        }
        if pairs:
            yield test(
                key,
                statement,
                source,
                "; ".join(f"{name}: {_in_words(*pair)}" for name, pair in pairs.items()),
                {f"{name}: quality": a - b for name, (a, b) in pairs.items()},
            )


def _quality(found: Results, attack: str) -> Measured | None:
    """SSIM of images, minus the relative error of other inputs; more is closer to the truth."""
    ssim = found.find("ssim", attack=attack)
    if ssim is not None:
        return ssim
    error = found.find("feature_error", attack=attack)
    return None if error is None else -error


def _in_words(better: Measured, than: Measured) -> str:
    show = number(2)
    return f"SSIM, or − relative error, {show(better)} against {show(than)}"


def _precode(
    naive: Mapping[str, Measured], adaptive: Mapping[str, Measured], plain: Mapping[str, Measured]
) -> Iterator[Claim]:
    show = percent()
    yield test(
        "precode_stops_inversion",
        f"PRECODE lets Inverting Gradients succeed on at most {100 * SAFE:.0f} % of examples, "
        "fewer than without it.",
        PRECODE,
        "; ".join(
            f"{name}: success {show(x)} % (not adaptive), {show(plain[name])} % without"
            for name, x in naive.items()
        ),
        # An attack that fails anyway shows nothing of a defense.
        [below(x, SAFE) for x in naive.values()] + [plain[k] - x for k, x in naive.items()],
    )
    yield test(
        "adaptive_attack_breaks_precode",
        "An attack that ignores the stochastic gradients disables PRECODE: it reconstructs "
        f"more than {100 * BROKEN:.0f} %, and more than the attack that does not.",
        ADAPTIVE,
        "; ".join(
            f"{name}: success {show(x)} % adaptive, {show(naive[name])} % not"
            for name, x in adaptive.items()
        ),
        [above(x, BROKEN) for x in adaptive.values()] + [x - naive[k] for k, x in adaptive.items()],
    )


def _holds(label: str, source: str, under: Mapping[str, Results]) -> Claim:
    attacks = {name: strongest(results) or "ig" for name, results in under.items()}
    success = {name: under[name].get("success", attack=best) for name, best in attacks.items()}
    return test(
        f"{key_part(label)}_holds",
        f"{label} lets no attack succeed on more than {100 * SAFE:.0f} % of examples.",
        source,
        "; ".join(
            f"{name}: success {percent()(x)} % ({attacks[name]}, the strongest)"
            for name, x in success.items()
        ),
        [below(x, SAFE) for x in success.values()],
    )
