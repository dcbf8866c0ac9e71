"""One function for every data set."""

from dataclasses import replace

from gujax.data import _embedded as embedded
from gujax.data._dataset import Dataset


def load(
    name: str = "digits",
    *,
    train_split: str = "train",
    test_split: str = "test",
    train_size: int | None = None,
    at_most: bool = False,
    input: str | None = None,
    target: str | None = None,
    attribute: str | None = None,
) -> Dataset:
    """Load a data set into memory.

        load("adult", attribute="race")
        load("celeb_a", target="attributes/Smiling", attribute="attributes/Male")

    Args:
        name: ``"digits"`` or ``"breast_cancer"``, which need no files; or any name of
            ``tensorflow_datasets``, prepared in ``TFDS_DATA_DIR`` or downloadable into it. Images
            and numeric features only.
        train_split: split to train on; for ``tensorflow_datasets`` any of its split expressions,
            such as ``"train[:80%]"``.
        test_split: split to test on, alike.
        train_size: if given, keep only the first ``train_size`` training examples.
        at_most: whether a data set with fewer than ``train_size`` is taken as it is.
        input: feature to predict from: an image, a numeric array, or a dictionary of numbers,
            flags and classes, whose entries become columns. Features within dictionaries are
            named with slashes. If None, what the data set names as its input, or else its only
            image or array.
        target: feature to predict: a class label, a whole number or a flag. If None, what the data
            set names as its target, or else its only class label.
        attribute: feature that ``subgroups`` holds, such as a private attribute; alike. If None,
            the only class label beside the target, if there is just one. Target and attribute are
            left out of an input that is a dictionary.

    Returns:
        Training and test arrays with example ids, and subgroup labels where the data has them.

    Raises:
        ValueError: if the name, a split or a feature is unknown, the data cannot be had, it has no
            numeric features and class label, or the attribute is the target or constant; one
            sentence that says what to do, and what there is.
    """
    if train_size is not None and train_size < 1:
        raise ValueError(f"train_size must be at least 1, got {train_size}")
    if name in embedded.LOADERS:
        for argument, split, only in (
            ("train_split", train_split, "train"),
            ("test_split", test_split, "test"),
        ):
            if split != only:
                raise ValueError(
                    f"{argument}={split!r}: the embedded data set {name!r} has a fixed split; "
                    f"leave {argument}={only!r}"
                )
        for argument, feature in (("input", input), ("target", target), ("attribute", attribute)):
            if feature is not None:
                raise ValueError(
                    f"{argument}={feature!r}: the embedded data set {name!r} has no features to "
                    f"choose from, only its input and one class label; leave {argument} out"
                )
        dataset = embedded.LOADERS[name]()
    else:
        # Imported here because it takes a second that the embedded data sets need not pay.
        from gujax.data import _tfds as tfds

        chosen = tfds.Chosen(input, target, attribute)
        dataset = tfds.load(name, train_split, test_split, train_size, chosen)
    return _with_train_size(dataset, train_size, at_most)


def _with_train_size(dataset: Dataset, train_size: int | None, at_most: bool) -> Dataset:
    if train_size is None:
        return dataset
    if train_size > len(dataset.train) and not at_most:
        raise ValueError(
            f"train_size={train_size} but {dataset.name!r} has {len(dataset.train)} training "
            "examples; ask for at most that many"
        )
    return replace(dataset, train=dataset.train.prefix(train_size))
