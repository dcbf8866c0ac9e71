"""Attribute inference: which class of a private attribute does a shared gradient come from?

Threat model: the attacker sees one layer's gradient of a victim (of one example, or aggregated
over a batch that shares the attribute), knows the model, and has gradients of the same model on
data of his own whose attribute he knows (Melis et al. 2019, "Exploiting unintended feature leakage
in collaborative learning", arXiv 1805.04049). V-information of the layer's gradient
(`gujax.leakage.v_information`) should predict how well he does.
"""

from typing import NamedTuple

import chex
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gujax.leakage import as_matrix
from gujax.statistics import Interval, share_interval


class AttributeInference(NamedTuple):
    """How well an attribute was inferred from held-out gradients.

    Attributes:
        accuracy: share of right guesses, with its exact 95 % interval over examples.
        majority: share of the most frequent class: the accuracy of guessing without a gradient.
        auc: area under the ROC curve; for more than two classes, the mean over each against the
            rest. 1/2 is chance.
        classes: values of the attribute, ascending, [classes].
        probabilities: the attacker's belief about each example, [examples, classes].
        success: whether the guess about each example is right, [examples].
    """

    accuracy: Interval
    majority: float
    auc: float
    classes: Int[np.ndarray, " classes"]
    probabilities: Float[np.ndarray, "examples classes"]
    success: Bool[np.ndarray, " examples"]


def infer_attribute(
    representation: chex.ArrayTree,
    attribute: Int[np.ndarray | Array, " examples"],
    attacker: ClassifierMixin | None = None,
    *,
    num_folds: int = 5,
    folds: Int[np.ndarray, " examples"] | None = None,
    seed: int = 0,
) -> AttributeInference:
    """Attack every example with a classifier trained on the other folds.

    Args:
        representation: gradients of one layer, [examples, width] or a pytree of arrays with a
            leading axis of examples; `gujax.leakage.principal_coordinates` of a large one.
        attribute: class of each, integer or boolean, [examples].
        attacker: a scikit-learn classifier with ``predict_proba``; logistic regression on
            standardized features if None.
        num_folds: of the cross-validation, at least 2.
        folds: the fold of each example, [examples], in place of random ones of that number; as for
            `gujax.leakage.v_information`.
        seed: of the folds.

    Returns:
        The attack's success, all of it on examples that the attacker was not trained on.

    Raises:
        ValueError: the attribute is constant or not discrete, lengths disagree, or a class has
            fewer examples than folds.
    """
    matrix, attribute = as_matrix(representation), np.asarray(attribute)
    if attribute.shape != matrix.shape[:1] or attribute.dtype.kind not in "iub":
        raise ValueError(
            f"attribute has shape {attribute.shape} and type {attribute.dtype}; needed are "
            f"integers or booleans, one for each of the {len(matrix)} examples"
        )
    classes, indices, counts = np.unique(attribute, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"attribute is constant ({classes}): there is nothing to infer")
    if num_folds < 2 or counts.min() < num_folds:
        raise ValueError(
            f"attribute has a class of {counts.min()} examples; num_folds={num_folds} must be at "
            "least 2 and at most that: take more examples, merge classes or use fewer folds"
        )
    if attacker is None:
        attacker = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if folds is None:
        splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    else:
        splitter = PredefinedSplit(folds)
    probabilities = cross_val_predict(
        clone(attacker), matrix, indices, cv=splitter, method="predict_proba"
    )
    success = probabilities.argmax(axis=1) == indices
    scores = probabilities[:, 1] if len(classes) == 2 else probabilities
    return AttributeInference(
        accuracy=share_interval(success),
        majority=float(counts.max() / counts.sum()),
        auc=float(roc_auc_score(indices, scores, multi_class="ovr")),
        classes=classes,
        probabilities=probabilities,
        success=success,
    )
