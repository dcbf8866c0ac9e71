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
) -> Dataset:
    """Load a data set into memory.

    Args:
        name: ``"digits"`` or ``"breast_cancer"``, which need no files; or any name of
            ``tensorflow_datasets``, prepared in ``TFDS_DATA_DIR`` or downloadable into it. Images
            and numeric features only.
        train_split: split to train on; for ``tensorflow_datasets`` any of its split expressions,
            such as ``"train[:80%]"``.
        test_split: split to test on, alike.
        train_size: if given, keep only the first ``train_size`` training examples.
        at_most: whether a data set with fewer than ``train_size`` is taken as it is.

    Returns:
        Training and test arrays with example ids, and subgroup labels where the data has them.

    Raises:
        ValueError: if the name or a split is unknown, the data cannot be had, or it has no
            numeric features and class label; one sentence that says what to do.
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
        dataset = embedded.LOADERS[name]()
    else:
        # Imported here because it takes a second that the embedded data sets need not pay.
        from gujax.data import _tfds as tfds

        dataset = tfds.load(name, train_split, test_split, train_size)
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
