import importlib.util

import numpy as np
import pytest
from sklearn import datasets

from gujax import data
from tests.data import builders


def rows(array):
    """The rows of an array, sorted, to compare data sets up to their order."""
    flat = array.reshape(len(array), -1)
    return flat[np.lexsort(flat.T)]


class TestEmbedded:
    def test_digits_is_the_default_and_complete(self):
        digits = data.load()
        assert digits.name == "digits"
        assert digits.feature_shape == (8, 8, 1)
        assert digits.num_classes == 10
        assert digits.class_names == tuple("0123456789")
        truth = datasets.load_digits()
        both = np.concatenate([digits.train.x, digits.test.x])
        np.testing.assert_array_equal(rows(both) * 16, rows(truth.images))
        assert len(digits.train) == 1437
        assert len(digits.test) == 360

    def test_labels_stay_with_their_features(self):
        digits = data.load("digits")
        truth = {
            image.tobytes(): label for image, label in zip(*datasets.load_digits(return_X_y=True))
        }
        for split in (digits.train, digits.test):
            for x, y in zip(split.x, split.y):
                assert truth[(x.reshape(-1) * 16.0).astype(np.float64).tobytes()] == y

    def test_every_class_has_its_share_of_the_test_split(self):
        digits = data.load("digits")
        counts = np.bincount(np.concatenate([digits.train.y, digits.test.y]))
        np.testing.assert_allclose(np.bincount(digits.test.y), counts * 0.2, atol=1)

    def test_breast_cancer_is_standardized_with_the_training_split(self):
        cancer = data.load("breast_cancer")
        assert cancer.feature_shape == (30,)
        assert cancer.class_names == ("malignant", "benign")
        # Mean and deviation of float32 numbers of order 1: rounding of 1e-7 per entry.
        np.testing.assert_allclose(cancer.train.x.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(cancer.train.x.std(axis=0), 1, atol=1e-6)
        assert np.abs(cancer.test.x.mean(axis=0)).max() > 1e-3

    @pytest.mark.parametrize("name", ["digits", "breast_cancer"])
    def test_loading_twice_gives_the_same(self, name):
        first, second = data.load(name), data.load(name)
        np.testing.assert_array_equal(first.train.x, second.train.x)
        np.testing.assert_array_equal(first.test.y, second.test.y)

    @pytest.mark.parametrize("name", ["digits", "breast_cancer"])
    def test_types_and_ids(self, name):
        dataset = data.load(name)
        for split in (dataset.train, dataset.test):
            assert (split.x.dtype, split.y.dtype, split.ids.dtype) == ("float32", "int32", "int32")
            np.testing.assert_array_equal(split.ids, np.arange(len(split)))
            assert split.subgroups is None

    def test_train_size_is_a_prefix_with_the_same_ids(self):
        whole, part = data.load("digits"), data.load("digits", train_size=100)
        np.testing.assert_array_equal(part.train.x, whole.train.x[:100])
        np.testing.assert_array_equal(part.train.ids, np.arange(100))
        np.testing.assert_array_equal(part.test.x, whole.test.x)

    def test_at_most_takes_a_smaller_data_set_as_it_is(self):
        assert len(data.load("digits", train_size=5000, at_most=True).train) == 1437
        assert len(data.load("digits", train_size=100, at_most=True).train) == 100

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"train_size": 0}, "train_size must be at least 1, got 0"),
            ({"train_size": 5000}, "train_size=5000 but 'digits' has 1437 training examples"),
            ({"train_split": "all"}, "train_split='all'.*leave train_split='train'"),
            ({"test_split": "all"}, "test_split='all'.*leave test_split='test'"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            data.load("digits", **arguments)


@pytest.mark.usefixtures("empty_tfds")
class TestTensorflowDatasets:
    """Against data sets of known content, written and read by tensorflow-datasets."""

    def test_images_are_scaled_and_a_second_class_label_gives_subgroups(self):
        known = data.load("known_images")
        np.testing.assert_array_equal(
            known.train.x, builders.IMAGES[builders.TRAIN] / np.float32(255)
        )
        np.testing.assert_array_equal(
            known.test.x, builders.IMAGES[builders.TEST] / np.float32(255)
        )
        np.testing.assert_array_equal(known.train.y, builders.LABELS[builders.TRAIN])
        np.testing.assert_array_equal(known.train.subgroups, builders.GROUPS[builders.TRAIN])
        np.testing.assert_array_equal(known.test.subgroups, builders.GROUPS[builders.TEST])
        np.testing.assert_array_equal(known.train.ids, np.arange(5))
        assert known.class_names == ("a", "b", "c")
        assert known.feature_shape == (4, 5, 3)

    def test_numbers_are_standardized_and_integer_labels_counted(self):
        known = data.load("known_table")
        train = builders.TABLE[builders.TRAIN].astype(np.float64)
        expected = (builders.TABLE[builders.TEST] - train.mean(axis=0)) / train.std(axis=0)
        # The loader computes in float32: relative rounding of 1e-6 at most over 5 rows.
        np.testing.assert_allclose(known.test.x, expected, rtol=1e-5, atol=1e-6)
        assert known.num_classes == 3
        assert known.class_names is None
        assert known.train.subgroups is None

    def test_bits_stay_bits_and_the_only_input_is_found(self):
        known = data.load("known_bits")
        np.testing.assert_array_equal(known.train.x, builders.BITS[builders.TRAIN])
        assert known.train.x.dtype == np.float32

    def test_split_expressions_and_train_size(self):
        known = data.load("known_bits", train_split="train[1:]", test_split="train[:1]")
        np.testing.assert_array_equal(known.train.x, builders.BITS[1:5])
        np.testing.assert_array_equal(known.test.x, builders.BITS[:1])
        assert len(data.load("known_bits", train_size=2).train) == 2

    def test_features_are_chosen_by_name(self):
        people = data.load("known_people", target="group", attribute="kind")
        np.testing.assert_array_equal(people.train.y, builders.GROUPS[builders.TRAIN])
        np.testing.assert_array_equal(people.train.subgroups, builders.LABELS[builders.TRAIN])
        np.testing.assert_array_equal(people.test.subgroups, builders.LABELS[builders.TEST])
        assert people.class_names == ("x", "y")
        assert (people.attribute, people.attribute_names) == ("kind", ("a", "b", "c"))
        assert people.feature_shape == (6,)
        # The target follows where only one label is left.
        assert data.load("known_people", attribute="group").class_names == ("a", "b", "c")
        numbers = data.load("known_people", target="kind", attribute="age")
        np.testing.assert_array_equal(numbers.test.subgroups, builders.AGES[builders.TEST])
        assert numbers.attribute_names is None

    def test_flags_within_a_dictionary_are_targets_and_attributes(self):
        faces = data.load("known_faces", target="flags/smiling", attribute="flags/male")
        np.testing.assert_array_equal(faces.train.x, builders.IMAGES[:5] / np.float32(255))
        np.testing.assert_array_equal(faces.train.y, builders.FLAGS["smiling"][:5])
        np.testing.assert_array_equal(faces.train.subgroups, builders.FLAGS["male"][:5])
        assert (faces.num_classes, faces.class_names) == (2, None)
        assert faces.attribute == "flags/male"
        never = data.load("known_faces", target="flags/bald", attribute="person/group")
        assert never.num_classes == 2

    def test_a_dictionary_as_input_is_a_table_without_target_and_attribute(self):
        flags = data.load(
            "known_faces", input="flags", target="flags/smiling", attribute="flags/male"
        )
        np.testing.assert_array_equal(flags.train.x, builders.FLAGS["bald"][:5, None])
        person = data.load("known_faces", input="person", target="flags/male").train.x
        ages = builders.AGES[:5]
        np.testing.assert_allclose(person[:, 0], (ages - ages.mean()) / ages.std(), rtol=1e-6)
        np.testing.assert_array_equal(person[:, 1:4], np.eye(3)[builders.LABELS[:5]])
        np.testing.assert_array_equal(person[:, 4:], np.eye(2)[builders.GROUPS[:5]])

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("known_people", {}, "has 2 class labels and names no target .*choose from kind"),
            (
                "known_people",
                {"target": "kind", "attribute": "kind"},
                "attribute='kind' is the target .*choose from group, age",
            ),
            (
                "known_people",
                {"target": "kind", "attribute": "sex"},
                "attribute='sex'.* no such label; choose from group, age$",
            ),
            ("known_people", {"target": "sex"}, "target='sex'.*choose from kind, group, age$"),
            (
                "known_people",
                {"target": "kind", "attribute": "measurements"},
                "'measurements' .*is no class label, whole number or flag; choose from group, age",
            ),
            (
                "known_faces",
                {"target": "flags/male", "attribute": "flags/bald"},
                "'flags/bald' is constant on the 5 training.*choose from flags/smiling, person/age",
            ),
            (
                "known_faces",
                {"target": "flags/male", "attribute": "flags"},
                "attribute='flags' .*is no class label",
            ),
            ("known_faces", {"target": "male"}, "target='male'.*choose from flags/smiling"),
            (
                "known_faces",
                {"target": "flags/male", "input": "title"},
                "input='title' .*is no image, .*choose from picture, flags, person$",
            ),
            (
                "known_faces",
                {"target": "flags/male", "input": "flags/male"},
                "input='flags/male' is the target",
            ),
            (
                "known_faces",
                {"target": "flags/male", "input": "face"},
                "input='face'.*no such feature; choose from picture, flags, person$",
            ),
            ("known_table", {"attribute": "sex"}, "attribute='sex'.*; it has no other label$"),
            ("digits", {"attribute": "sex"}, "attribute='sex': the embedded data set 'digits'"),
            ("digits", {"target": "sex"}, "target='sex': the embedded.*leave target out"),
        ],
    )
    def test_features_that_do_not_fit_are_told_with_those_that_do(self, name, arguments, message):
        with pytest.raises(ValueError, match=message) as caught:
            data.load(name, **arguments)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("no_such_set", {}, "'no_such_set' is unknown.* use 'digits'"),
            ("known_bit", {}, r"near names: known_bits.*\)"),
            ("digts", {}, r"near names: digits.*\)"),
            ("cifar-10", {}, r"near names: cifar10.*\)"),
            ("known_text", {}, "only text as input; read it with gujax.data.load_texts"),
            ("known_unlabelled", {}, "0 class labels and names no target"),
            ("known_two_inputs", {}, r"needs one image or one numeric array.*left \(6,\)"),
            ("known_bits", {"train_split": "dev"}, "split 'dev'.*choose from train, test"),
            ("known_bits", {"test_split": "test[:0]"}, r"split 'test\[:0\]'.*choose from"),
            ("known_bits", {"train_size": 6}, "train_size=6 but 'known_bits' has 5"),
            ("known_unavailable", {}, "OSError: the server is gone.*set TFDS_DATA_DIR"),
        ],
    )
    def test_what_cannot_be_loaded_is_explained_in_one_line(self, name, arguments, message):
        with pytest.raises(ValueError, match=message) as caught:
            data.load(name, **arguments)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    @pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed"
    )
    def test_a_builder_that_takes_tensorflow_says_so(self):
        with pytest.raises(ValueError, match=r"takes TensorFlow, once: .*tfds build known_needs"):
            data.load("known_needs_tensorflow")


@pytest.mark.usefixtures("prepared_tfds")
class TestPrepared:
    def test_mnist(self):
        mnist = data.load("mnist10k", train_size=500, test_split="test[:100]")
        assert mnist.train.x.shape == (500, 28, 28, 1)
        assert mnist.test.x.shape == (100, 28, 28, 1)
        assert (mnist.train.x.min(), mnist.train.x.max()) == (0, 1)
        assert mnist.num_classes == 10
        # The first labels of MNIST's test file, as published.
        np.testing.assert_array_equal(mnist.train.y[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])

    def test_cifar_prefix_is_balanced_and_named(self):
        cifar = data.load("cifar10_jpeg", train_size=200, test_split="test[:100]")
        assert cifar.feature_shape == (32, 32, 3)
        np.testing.assert_array_equal(np.bincount(cifar.train.y), [20] * 10)
        assert cifar.class_names[3] == "cat"

    def test_locations_are_binary(self):
        locations = data.load("bangkok_locations")
        assert locations.train.x.shape == (4000, 446)
        assert set(np.unique(locations.train.x)) == {0.0, 1.0}
        assert locations.num_classes == 30

    def test_people_have_private_attributes(self):
        spoken = data.load("spoken_digits", attribute="speaker")
        assert spoken.attribute_names[0] == "george"
        # The official test split: five recordings of each digit and speaker.
        pairs = np.stack([spoken.test.y, spoken.test.subgroups])
        _, counts = np.unique(pairs, axis=1, return_counts=True)
        np.testing.assert_array_equal(counts, [5] * 60)
        assert data.load("spoken_digits").train.subgroups is None  # speaker or accent: unsaid
        adult = data.load("adult", attribute="sex", train_size=500)
        assert adult.class_names == ("<=50K", ">50K")
        assert adult.attribute_names == ("Female", "Male")

    def test_text_is_for_later(self):
        with pytest.raises(ValueError, match="load_texts"):
            data.load("ag_news7600")


def test_an_unknown_name_is_told_what_lies_there(tmp_path, monkeypatch):
    for version in ("my_digits/1.0.0", "my_text/plain/2.0.0"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "dataset_info.json").write_text("{}")
    (tmp_path / "downloads").mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"near names: my_text.* holds my_digits, my_text$"):
        data.load("mytext")
    monkeypatch.delenv("TFDS_DATA_DIR")
    with pytest.raises(ValueError, match="TFDS_DATA_DIR is not set"):
        data.load("no_such_set")
