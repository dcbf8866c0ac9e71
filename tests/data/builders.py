"""Small tensorflow-datasets builders, so that loading is tested against known arrays."""

import io
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
ENCODED = [io.BytesIO() for _ in IMAGES]
for file, image in zip(ENCODED, IMAGES):
    Image.fromarray(image).save(file, format="PNG")
TABLE = RNG.normal(3.0, 2.0, (7, 6)).astype(np.float32)
BITS = RNG.integers(0, 2, (7, 6), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 1, 0, 2, 2])
GROUPS = np.array([0, 1, 1, 0, 1, 0, 0])
AGES = np.array([20, 31, 44, 27, 65, 38, 19])
FLAGS = {
    "smiling": np.array([1, 0, 0, 1, 1, 0, 1], bool),
    "male": np.array([0, 0, 1, 1, 0, 1, 0], bool),
    "bald": np.zeros(7, bool),
}
TRAIN = slice(0, 5)
TEST = slice(5, 7)


class _Known(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    encoded = True
    columns: ClassVar[dict] = {}
    features: ClassVar[dict] = {}
    supervised_keys: tuple | None = None

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(self.features),
            supervised_keys=self.supervised_keys,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(TRAIN), "test": self._generate_examples(TEST)}

    def _generate_examples(self, rows):
        for i in range(rows.start, rows.stop):
            row = {key: values[i] for key, values in self.columns.items()}
            if hasattr(self, "flags"):
                row["flags"] = {key: values[i] for key, values in FLAGS.items()}
                row["person"] = {"age": AGES[i], "kind": LABELS[i], "group": GROUPS[i]}
            if "picture" in row and self.encoded:
                row["picture"] = io.BytesIO(ENCODED[i].getvalue())
            yield i, row


class KnownImages(_Known):
    columns: ClassVar[dict] = {"picture": IMAGES, "kind": LABELS, "group": GROUPS}
    features: ClassVar[dict] = {
        "picture": tfds.features.Image(shape=(4, 5, 3)),
        "kind": tfds.features.ClassLabel(names=["a", "b", "c"]),
        "group": tfds.features.ClassLabel(num_classes=2),
    }
    supervised_keys = ("picture", "kind")


class KnownTable(_Known):
    columns: ClassVar[dict] = {"measurements": TABLE, "kind": LABELS}
    features: ClassVar[dict] = {
        "measurements": tfds.features.Tensor(shape=(6,), dtype=np.float32),
        "kind": tfds.features.Scalar(dtype=np.int64),
    }
    supervised_keys = ("measurements", "kind")


class KnownBits(_Known):
    columns: ClassVar[dict] = {"bits": BITS, "kind": LABELS}
    features: ClassVar[dict] = {
        "bits": tfds.features.Tensor(shape=(6,), dtype=np.uint8),
        "kind": tfds.features.ClassLabel(num_classes=3),
    }


class KnownText(_Known):
    columns: ClassVar[dict] = {"title": np.array(["t"] * 7), "kind": LABELS}
    features: ClassVar[dict] = {
        "title": tfds.features.Text(),
        "kind": tfds.features.ClassLabel(num_classes=3),
    }


class KnownUnlabelled(_Known):
    columns: ClassVar[dict] = {"picture": IMAGES}
    features: ClassVar[dict] = {"picture": tfds.features.Image(shape=(4, 5, 3))}


class KnownTwoInputs(_Known):
    columns: ClassVar[dict] = {"left": TABLE, "right": TABLE, "kind": LABELS}
    features: ClassVar[dict] = {
        "left": tfds.features.Tensor(shape=(6,), dtype=np.float32),
        "right": tfds.features.Tensor(shape=(6,), dtype=np.float32),
        "kind": tfds.features.ClassLabel(num_classes=3),
    }


class KnownFaces(_Known):
    """Flags in a dictionary and no target of its own, as celeb_a; a table in a dictionary."""

    flags = True
    columns: ClassVar[dict] = {"picture": IMAGES, "title": np.array(["t"] * 7)}
    features: ClassVar[dict] = {
        "picture": tfds.features.Image(shape=(4, 5, 3)),
        "title": tfds.features.Text(),
        "flags": dict.fromkeys(FLAGS, np.bool_),
        "person": {
            "age": np.int64,
            "kind": tfds.features.ClassLabel(num_classes=3),
            "group": tfds.features.ClassLabel(names=["x", "y"]),
        },
    }


class KnownPeople(_Known):
    """Several class labels beside the target."""

    columns: ClassVar[dict] = {
        "measurements": TABLE,
        "kind": LABELS,
        "group": GROUPS,
        "age": AGES,
    }
    features: ClassVar[dict] = {
        "measurements": tfds.features.Tensor(shape=(6,), dtype=np.float32),
        "kind": tfds.features.ClassLabel(names=["a", "b", "c"]),
        "group": tfds.features.ClassLabel(names=["x", "y"]),
        "age": tfds.features.Scalar(dtype=np.int64),
    }


class KnownUnavailable(KnownImages):
    def _split_generators(self, dl_manager):
        raise OSError("the server is gone\nand this is a long story")


class KnownNeedsTensorflow(KnownImages):
    encoded = False  # arrays are encoded by TensorFlow
