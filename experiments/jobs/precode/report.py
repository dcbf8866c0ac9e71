"""The report of the job: tables, curves, pictures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent, share
from experiments.inversion import attacking
from experiments.inversion.analysis import ATTACKS, strongest
from experiments.jobs.invert.claims import SAFE
from experiments.jobs.invert.report import picture_rows, success_bars
from experiments.jobs.precode.claims import LOSS_LIMIT
from experiments.jobs.precode.networks import Network
from experiments.report import figures, html, style
from experiments.report.tables import Table, claims_table

if TYPE_CHECKING:
    from experiments.jobs.precode.job import Options


def write(
    directory: RunDirectory,
    options: "Options",
    networks: Sequence[Network],
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        networks: What was measured.
        summary: What `analysis.summarize` returned.
        claims: What `claims.claims` returned.
    """
    measured = summary["networks"]
    success = success_table(options, measured)
    accuracy = accuracy_table(options, measured)
    verdicts = claims_table(claims, "A claim's effects, over seeds, are its distance to the limit.")
    drawn = _draw(directory, options, networks, measured)
    sections = [
        html.section("What the attacks reach", *_reading(measured), html.table(success)),
        html.section(
            "Success of the attacks", drawn["success"], html.table(quality_table(measured))
        ),
        html.section("What the defenses cost", html.table(accuracy), drawn["training"]),
        html.section("Claims", html.table(verdicts)),
    ]
    for network in networks:
        name = network.plan.task.model_name
        if name in drawn:
            sections.append(html.section(f"Pictures: {name}", drawn[name]))
    sections += [
        html.section("Threat model", *map(html.paragraph, _threat_model(options, networks))),
        html.section("Training", *_training_text(options), html.table(search_table(measured))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    task = networks[0].plan.task
    lead = (
        f"{task.dataset.name}: {len(task.dataset.train)} training and {len(task.dataset.test)} "
        f"test examples. {', '.join(measured)}. {options.seeds} seeds; {options.victims} examples "
        "are attacked per seed, one to an update, at initialization. ± is the 95 % t-interval of "
        "the mean over seeds."
    )
    title = f"Variational bottlenecks on {task.dataset.name}: privacy and accuracy"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [success, accuracy, verdicts]


def success_table(options: "Options", networks: Mapping[str, Any]) -> Table:
    """Success rates: one row per network and defense, every attacker side by side."""
    rows = []
    for network, label, entry in _entries(networks):
        best = strongest(entry, ATTACKS)
        rows.append(
            [
                network,
                label,
                *(_success(entry, name) for name in ATTACKS),
                "–" if best is None else attacking.REGISTRY[best].label,
            ]
        )
    return Table(
        "Examples reconstructed (percent)",
        (
            "network",
            "defense",
            "not adaptive",
            *(attacking.REGISTRY[name].label for name in ATTACKS[1:]),
            "strongest",
        ),
        rows,
        f"Share of examples with an SSIM above {options.ssim_threshold:g} (inputs that are no "
        "images: a relative error below 0.1). Where there is no adaptive attack, the first "
        "attacker's model of the update is already what the victim computes.",
    )


def quality_table(networks: Mapping[str, Any]) -> Table:
    """How similar the reconstructions are."""
    rows = [
        [
            network,
            label,
            attacking.REGISTRY[name].label,
            *(
                "–" if measured[key] is None else number(measured[key], digits)
                for key, digits in (("ssim", 2), ("psnr", 1), ("feature_error", 2))
            ),
        ]
        for network, label, entry in _entries(networks)
        for name, measured in entry["attacks"].items()
    ]
    return Table(
        "Quality of the reconstructions",
        ("network", "defense", "attack", "SSIM", "PSNR (dB)", "rel. error"),
        rows,
        "Means over examples. Relative error: of the standardized input.",
    )


def accuracy_table(options: "Options", networks: Mapping[str, Any]) -> Table:
    """Test accuracy with and without each defense."""
    rows = []
    for network, label, entry in _entries(networks):
        trained = entry["training"]
        plain = entry["family"] == "none"
        rows.append(
            [
                network,
                label,
                percent(trained["test_accuracy"]),
                "–" if plain else percent(trained["difference"], 2),
                f"{trained['learning_rate']:g}",
            ]
        )
    return Table(
        "Test accuracy (percent)",
        ("network", "defense", "test accuracy", "difference (points)", "learning rate"),
        rows,
        f"After {options.epochs} epochs. Difference to no defense, paired by seed: initial "
        "parameters and batches of a seed are the same. At evaluation a bottleneck takes its mean.",
    )


def search_table(networks: Mapping[str, Any]) -> Table:
    """What the learning rate was chosen by."""
    rates = [
        f"{tried['learning_rate']:g}"
        for tried in next(_entries(networks))[2]["training"]["validation"]
    ]
    rows = [
        [
            network,
            label,
            *(f"{100 * tried['accuracy']:.1f}" for tried in entry["training"]["validation"]),
        ]
        for network, label, entry in _entries(networks)
    ]
    return Table(
        "Accuracy on held-out examples, by learning rate (percent)",
        ("network", "defense", *rates),
        rows,
        "Means over seeds.",
    )


def _entries(networks: Mapping[str, Any]):
    for network, entry in networks.items():
        for label, of_defense in entry["defenses"].items():
            yield network, label, of_defense


def _success(entry: Mapping[str, Any], attack: str) -> str:
    return percent(entry["attacks"][attack]["success"]) if attack in entry["attacks"] else "–"


def _draw(
    directory: RunDirectory,
    options: "Options",
    networks: Sequence[Network],
    measured: Mapping[str, Any],
) -> dict[str, str]:
    """Figures as HTML; those of pictures by network."""
    labels = list(dict.fromkeys(label for _, label, _ in _entries(measured)))
    panels = [
        figures.BarPanel(
            name,
            "examples reconstructed",
            success_bars({label: entry["defenses"].get(label, _NOTHING) for label in labels}),
            in_percent=True,
        )
        for name, entry in measured.items()
    ]
    epochs = list(range(1, options.epochs + 1))

    def line(label: str, name: str, curve: Sequence[Mapping[str, Any]]) -> figures.Line:
        of = share if name == "test_accuracy" else interval
        return figures.Line(label, epochs, [of(of_epoch) for of_epoch in curve])

    grid = [
        [
            [
                line(label, curve, of_defense["training"]["curves"][curve])
                for label, of_defense in entry["defenses"].items()
            ]
            for entry in measured.values()
        ]
        for curve in ("test_accuracy", "loss")
    ]
    made = {
        "success": (
            figures.bar_panels([panels], labels),
            "Share of examples that each attack reconstructed. The bar of an attacker who does "
            "not know the defense says little about it: see the other ones.",
        ),
        "training": (
            figures.facets(
                grid, ("test accuracy", "training loss"), list(measured), "epoch", None, True
            ),
            "Mean over seeds and 95 % t-interval. The loss of a bottleneck includes its KL term.",
        ),
    }
    for network in networks:
        if network.plan.space.is_image:
            made[network.plan.task.model_name] = (
                figures.reconstruction_grid(picture_rows(network.attacked)),
                "Examples of seed 0, and what each attack made of their updates. Below each its "
                "SSIM; a green frame is a success.",
            )
    drawn = {}
    for index, (name, (figure, caption)) in enumerate(made.items()):
        file = name if index < 2 else f"pictures-{index - 1}"
        path = style.save(figure, directory.file(f"figures/{file}"))
        drawn[name] = html.figure(path, caption, caption)
    return drawn


_NOTHING: Mapping[str, Any] = {"attacks": {}}


def _reading(networks: Mapping[str, Any]) -> list[str]:
    """The tables in a few sentences, one paragraph per network."""
    paragraphs = []
    for network, entry in networks.items():
        sentences = []
        for label, of_defense in entry["defenses"].items():
            best = strongest(of_defense, ATTACKS)
            if best is None:
                continue
            reached = of_defense["attacks"][best]["success"]
            held = reached["mean"] <= SAFE
            cost = of_defense["training"]["difference"]
            sentence = (
                f"{label} {'holds' if held else 'does not hold'}: the strongest attack "
                f"({attacking.REGISTRY[best].label}) reconstructs {percent(reached)} %"
            )
            if of_defense["family"] == "none":
                sentences.append(f"Without a defense, {percent(reached)} % are reconstructed.")
                continue
            if best != "ig":
                sentence += f", the one that is not adaptive {_success(of_defense, 'ig')} %"
            points = f"{100 * abs(cost['mean']):.1f}"
            change = "costs" if cost["mean"] < 0 else "gains"
            sentences.append(f"{sentence}; it {change} {points} points of accuracy.")
        paragraphs.append(html.paragraph(f"{network}. " + " ".join(sentences)))
    return paragraphs


def _threat_model(options: "Options", networks: Sequence[Network]) -> list[str]:
    efforts = [
        f"{network.plan.task.model_name}: {budget.iterations} steps of signed Adam at "
        f"{budget.learning_rate:g}, total variation {budget.total_variation:g}"
        for network in networks
        for budget in [network.plan.budget]
    ]
    return [
        "Attacker: an honest but curious server. Knows the network, its parameters (at "
        "initialization) and the loss, sees the gradient of one client's single example, is told "
        "its label, and wants the input. It does not know the noise that the client drew.",
        "Not adaptive: Inverting Gradients on all leaves, with a draw of the bottleneck's noise in "
        "place of the client's. Adaptive: leaves out the gradients that the bottleneck makes "
        "stochastic, its own and those of later layers; of PPP it matches the leaves that carry "
        "added noise, and smooths three times as much. Noise-averaged: all leaves, against a "
        "gradient averaged over draws. Analytic: the input of a first fully connected layer in "
        "closed form.",
        "Searches (" + "; ".join(efforts) + ") are lower bounds: what they fail to reconstruct, a "
        f"longer or better one may. {attacking.curvature_text(networks[0].plan.budget.sharpness)} "
        f"A defense is said to hold if the strongest attack made here reconstructs at most "
        f"{100 * SAFE:.0f} %, and to cost almost no accuracy if that is less than "
        f"{100 * LOSS_LIMIT:.0f} points.",
        "PPP's strength is the standard deviation of its noise over the root mean square of the "
        "leaves that it is added to. In training it is added to the mean gradient of every batch.",
    ]


def _training_text(options: "Options") -> list[str]:
    return [
        html.paragraph(
            f"Adam, batches of {options.batch_size}, {options.epochs} epochs, the learning rate "
            "along a cosine to 0. 10 % of the training examples are held out: every defense is "
            "trained with every learning rate, and the one that is best on these, on the mean "
            "over seeds, is reported."
        )
    ]


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page; claims.json: the verdicts.",
    "examples.parquet: per network, seed, defense, attack and example: id, label, MSE, PSNR, SSIM, "
    "relative error, success, matching loss.",
    "training.parquet: per network, defense, seed and epoch: training loss, test accuracy.",
    "pictures-….npz: reconstructions of the first seed, by network, defense and attack.",
    "figures/: every figure as PNG and SVG.",
]
