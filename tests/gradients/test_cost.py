"""The choice between the two exact ways, its blocks, and what the caller may say about them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from gujax.gradients._cost import (
    FLOPS_PER_BYTE,
    Options,
    Sizes,
    choose_gram,
    choose_norms,
    form_at_once,
)
from tests.gradients.checks import (
    assert_near,
    assert_trees_near,
    compiled,
    dense,
    double,
    largest_array,
    rows,
)
from tests.gradients.zoo import CASES

WAYS = ("inner", "outer")


class TestChoice:
    """The counts are those of the einsums, by hand."""

    def test_one_position(self):
        # B² pairs, each 2 · 1 position · (784 + 1024), against 2 · B · 784 · 1024 · (1 + B).
        sites = [Sizes(1, 1, 784, 1024)]
        choice = choose_gram(sites, 128, 128)
        assert choice.way == "inner"
        assert choice.flops == 2 * 128**2 * (784 + 1024)
        assert choice.memory == 2 * 4 * 128**2
        assert not form_at_once(choice, sites, 784 * 1024)

    def test_many_positions(self):
        sites = [Sizes(1, 900, 27, 16)]
        choice = choose_gram(sites, 64, 64)
        assert choice.way == "outer"
        assert choice.flops == 2 * 64 * 900 * 27 * 16 + 2 * 64**2 * 27 * 16
        assert choice.block == 27
        assert choice.memory == 4 * 64 * 27 * 16
        assert form_at_once(choice, sites, 27 * 16)  # 432 elements in place of 900 · 43

    def test_a_sum_beside_the_gram_matrix_is_free_where_products_are_multiplied_out(self):
        sites = [Sizes(1, 64, 576, 576)]
        alone, both = choose_gram(sites, 16, 16), choose_gram(sites, 16, 16, summed=True)
        forming = 2 * 16 * 64 * 576 * 576
        assert both.flops == (alone.flops + forming if both.way == "inner" else alone.flops)
        assert choose_gram(sites, 16, 16, options=Options("inner"), summed=True).flops == (
            2 * (16 * 64) ** 2 * (576 + 576) + forming
        )

    def test_norms_need_no_other_examples(self):
        sites = [Sizes(1, 10, 40, 60)]
        norms = choose_norms(sites, 32)
        assert norms.flops == 32 * 2 * 100 * (40 + 60)
        assert norms.way == "inner"
        assert norms.memory == 32 * 2 * 4 * 100

    def test_groups_and_several_sites(self):
        sites = [Sizes(3, 2, 50, 60), Sizes(3, 5, 50, 60)]
        choice = choose_gram(sites, 4, 6, itemsize=8)
        assert choice.way == "inner"
        assert choice.flops == 2 * 4 * 6 * 3 * (2 + 5) ** 2 * (50 + 60)
        assert choice.memory == 4 * 2 * 8 * 3 * 5 * 5 * 6

    def test_what_goes_to_memory_counts(self):
        # A projection of a language model, 16 texts of 32 tokens: multiplied out there are fewer
        # operations, but 21 megabytes more to write and read.
        sites = [Sizes(1, 32, 576, 576)]
        inner, outer = (choose_gram(sites, 16, 16, options=Options(way)) for way in WAYS)
        assert inner.flops == 2 * 16**2 * 32**2 * 2 * 576
        assert outer.flops == 2 * 16 * 32 * 576**2 + 2 * 16**2 * 576**2 < inner.flops
        assert inner.cost - inner.flops == FLOPS_PER_BYTE * 2 * 4 * 16**2 * 32**2
        assert outer.cost - outer.flops == FLOPS_PER_BYTE * 4 * 16 * 576**2
        assert choose_gram(sites, 16, 16) == inner
        assert choose_gram([Sizes(1, 128, 576, 576)], 8, 8).way == "outer"

    def test_what_is_indexed_is_looked_up(self):
        table = Sizes(1, 32, 49152, 576, indexed=True)
        choice = choose_gram([table], 16, 16)
        assert choice.way == "inner"
        assert choice.flops == 2 * 16**2 * 32**2 * 576
        formed = choose_gram([table], 16, 16, options=Options("outer"))
        assert formed.flops == 2 * 16 * 32 * 576 + 2 * 16**2 * 49152 * 576
        # Tied to the head: of the four pairs of uses, one has both sides dense.
        tied = [table, Sizes(1, 32, 49152, 576)]
        both = choose_gram(tied, 16, 16, options=Options("inner"))
        assert both.flops == 2 * 16**2 * 32**2 * (4 * 576 + 49152)

    @pytest.mark.parametrize("way", ["inner", "outer"])
    @pytest.mark.parametrize("sites", [[Sizes(1, 1, 784, 1024)], [Sizes(1, 900, 27, 16)]])
    def test_the_caller_decides(self, sites, way):
        assert choose_gram(sites, 8, 8, options=Options(way)).way == way
        assert choose_norms(sites, 8, options=Options(way)).way == way

    def test_the_limit_may_rule_out_the_cheaper_way(self):
        sites = [Sizes(1, 20, 200, 300)]
        free, inner = (choose_gram(sites, 8, 8, options=Options(way)) for way in (None, "inner"))
        assert free == inner
        limited = choose_gram(sites, 8, 8, options=Options(None, inner.least_memory - 1))
        assert limited.way == "outer"
        assert limited.memory < inner.least_memory

    def test_uses_that_are_laid_out_differently_have_one_way(self):
        sites = [Sizes(1, 1, 40, 50), Sizes(1, 1, 50, 40)]
        choice = choose_gram(sites, 8, 8, unaligned=2000, options=Options("inner"))
        assert choice.way == "outer"
        assert choice.memory == 8 * 2 * 4 * 40 * 50
        large = [Sizes(1, 1, 4000, 5000), Sizes(1, 1, 5000, 4000)]
        assert (
            choose_gram(large, 8, 8, unaligned=20_000_000).block == 8
        )  # blocks would form them again

    @pytest.mark.parametrize("choose", [choose_gram, choose_norms])
    @pytest.mark.parametrize("unaligned", [None, 10_000])
    @pytest.mark.parametrize("way", ["inner", "outer"])
    def test_blocks_keep_to_the_limit(self, choose, unaligned, way):
        sites = [Sizes(2, 30, 64, 48)]
        others = (16,) if choose is choose_gram else ()
        whole = choose(sites, 16, *others, unaligned=unaligned, options=Options(way))
        for part in (1, 2, 5, 1000):
            limit = max(whole.least_memory, whole.memory // part)
            options = Options(way, limit)
            choice = choose(sites, 16, *others, unaligned=unaligned, options=options)
            assert choice.least_memory <= choice.memory <= limit
            assert choice.memory + choice.least_memory > min(limit, whole.memory)  # no smaller
            assert choice.flops == whole.flops
        least = choose(sites, 16, *others, unaligned=unaligned, options=Options(way, 1))
        assert least.block == 1
        assert least.memory == least.least_memory > 1


SOME = {  # several sites, indexed sites, groups, sites that are laid out differently
    "mlp": 300,
    "convolutional_classifier": 270_000,
    "tied_language_model": 8000,
    "stacked_layers": 3000,
    "matrix_and_kernel": 3000,
    "vmap_of_lookups": 400,
}


@pytest.mark.parametrize("way", ["inner", "outer"])
@pytest.mark.parametrize("name", SOME)
def test_every_way_and_block_gives_the_same_numbers(name, way):
    loss, params, batch, shared = CASES[name]()
    expected = dense(loss, params, batch, shared)[1]
    G, H = rows(expected), rows(dense(loss, params, CASES[name](1).batch, shared)[1])
    lengths, other_lengths = np.linalg.norm(G, axis=1), np.linalg.norm(H, axis=1)
    weights = np.random.default_rng(0).normal(size=len(G))
    total = jax.tree.map(lambda g: np.tensordot(weights, double(g), 1).astype(g.dtype), expected)

    def answers(limit):
        grads_fn = gradients.per_example_grads(loss, gram_way=way, memory_limit=limit)
        grads, others = grads_fn(params, batch, *shared), grads_fn(params, OTHERS, *shared)
        both = gradients.gram_and_sum(grads, jnp.asarray(weights))
        return both, gradients.gram(grads, others), gradients.squared_norms(grads)

    OTHERS = CASES[name](1).batch
    for limit in (None, SOME[name]):
        (K, summed), cross, norms = compiled(lambda limit=limit: answers(limit))
        assert_trees_near(summed, total, 1e-12, "sum")
        assert_near(K, G @ G.T, 1e-12, np.outer(lengths, lengths), "gram")
        assert_near(cross, G @ H.T, 1e-12, np.outer(lengths, other_lengths), "cross")
        assert_near(norms, lengths**2, 1e-12, lengths**2, "norms")


@pytest.mark.parametrize(("examples", "positions"), [(2, 128), (8, 32), (9, 32), (16, 33), (3, 40)])
def test_mirrored_halves_are_the_whole(examples, positions):
    """As many positions as are multiplied in quarters, in halves and at once; odd numbers too."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(examples, positions, 5)))
    params = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(5, 7)))}
    G = np.asarray(jax.vmap(jax.grad(wide), (None, 0))(params, x)["w"]).reshape(examples, -1)
    grads = gradients.per_example_grads(wide, gram_way="inner")(params, x)
    lengths = np.linalg.norm(G, axis=1)
    assert_near(gradients.gram(grads), G @ G.T, 1e-12, np.outer(lengths, lengths), "gram")


def wide(params, x):
    return jnp.sum(jnp.tanh(x @ params["w"]) ** 2)


WIDE = {"w": jax.ShapeDtypeStruct((256, 512), np.float32)}


@pytest.mark.parametrize(
    ("answer", "way", "width", "limit"),
    [
        (gradients.gram, "inner", 16, 2 * 4 * 32 * 128**2),  # one example with all
        (gradients.gram, "outer", 512, 64 * 4 * 32 * 512),  # 64 of 512 rows
        (gradients.squared_norms, "outer", 512, 64 * 4 * 32 * 512),
    ],
)
def test_the_limit_is_kept_by_the_program(answer, way, width, limit):
    """No array is larger than the limit, or than a factor (which may be copied)."""
    batch = jax.ShapeDtypeStruct((32, 128, width), np.float32)
    params = {"w": jax.ShapeDtypeStruct((width, width), np.float32)}
    allowed = max(limit, 4 * batch.size)

    def largest(limit):
        grads_fn = gradients.per_example_grads(wide, gram_way=way, memory_limit=limit)
        return 4 * largest_array(answer, jax.eval_shape(grads_fn, params, batch))

    assert largest(limit) <= allowed < largest(2**30)


class TestRefusals:
    def test_limit_too_small(self):
        batch = jnp.ones((8, 64, 256), jnp.float32)
        params = {"w": jnp.ones((256, 512), jnp.float32)}
        for way, needed in (("inner", 2 * 4 * 64**2 * 8), ("outer", 4 * 8 * 512)):
            with pytest.raises(
                ValueError,
                match=rf"memory_limit=100 bytes .*params\['w'\].* {needed:,} bytes.*microbatch",
            ):
                gradients.per_example_grads(wide, gram_way=way, memory_limit=100)(params, batch)
        enough = gradients.per_example_grads(wide, gram_way="outer", memory_limit=4 * 8 * 512)
        assert gradients.gram(enough(params, batch)).shape == (8, 8)

    def test_values(self):
        with pytest.raises(ValueError, match="gram_way must be 'inner', 'outer' or None"):
            gradients.per_example_grads(wide, gram_way="product")
        with pytest.raises(ValueError, match="memory_limit must be a positive number of bytes"):
            gradients.per_example_grads(wide, memory_limit=0)
        with pytest.raises(ValueError, match=r"factored gradients.*microbatch_size"):
            gradients.per_example_grads(wide, method="dense", memory_limit=10**6)


class TestExplain:
    def report(self, positions, **options):
        example = jax.ShapeDtypeStruct((positions, 256), np.float32)
        explanation = gradients.explain(wide, WIDE, example, batch_size=32, **options)
        (report,) = explanation.parameters
        return report, str(explanation)

    def test_shows_the_choice(self):
        assert self.report(2)[0].gram == "inner"
        assert self.report(500)[0].gram == "outer"
        assert self.report(2, gram_way="outer")[0].gram == "outer"

    def test_shows_the_limit(self):
        whole, _ = self.report(64)
        report, table = self.report(64, memory_limit=10**6)
        assert report.working_memory <= 10**6 < whole.working_memory
        assert f"{report.working_memory:,}" in table
        with pytest.raises(ValueError, match="memory_limit=100 bytes is too small"):
            self.report(64, memory_limit=100)

    def test_refuses_integer_parameters(self):
        with pytest.raises(ValueError, match="int32"):
            gradients.explain(wide, {"w": jnp.ones((3, 2), jnp.int32)}, jnp.ones(3))


class TestAdded:
    """What an audited mean takes beside a plain step."""

    @staticmethod
    def told(positions, examples):
        """The report on `wide`, and by how much XLA's count of the audited gradient is larger."""
        batch = jax.ShapeDtypeStruct((examples, positions, 256), np.float32)
        example = jax.ShapeDtypeStruct((positions, 256), np.float32)
        told = gradients.explain(wide, WIDE, example, batch_size=examples)

        def audited(params, batch):
            grads = gradients.per_example_grads(wide)(params, batch)
            return gradients.gram_and_sum(grads, jnp.full(examples, 1 / examples))

        def plain(params, batch):
            return jax.grad(lambda p: jnp.mean(jax.vmap(wide, (None, 0))(p, batch)))(params)

        more, less = (
            jax.jit(f).lower(WIDE, batch).cost_analysis()["flops"] for f in (audited, plain)
        )
        return told.parameters[0], more - less

    def test_inner_products_of_positions(self):
        report, counted = self.told(positions=3, examples=16)
        assert report.gram == "inner"
        assert report.added_flops == 2 * 16**2 * 3**2 * (256 + 512)
        assert report.added_bytes == 2 * 4 * 16**2 * 3**2
        assert counted == pytest.approx(report.added_flops, rel=0.05)

    @pytest.mark.parametrize("positions", [80, 100])  # in one block; formed at once
    def test_products_are_formed_in_any_case(self, positions):
        report, counted = self.told(positions, examples=16)
        assert report.gram == "outer"
        assert (report.working_memory == 0) == (positions == 100)
        assert report.added_flops == 2 * 16**2 * 256 * 512
        assert report.added_bytes == 4 * 16 * 256 * 512
        # The mean is one more product with what is formed, of 16 examples.
        assert counted == pytest.approx(report.added_flops * (1 + 1 / 16), rel=0.05)

    def test_what_is_dense_or_formed_once_more(self):
        def loss(params, x):
            other = x[:20] @ params["w"].reshape(20, 80)
            return jnp.sum(x @ params["w"] + params["b"]) ** 2 + jnp.sum(other) ** 2

        params = {"w": jnp.ones((40, 40), np.float32), "b": jnp.ones(40, np.float32)}
        bias, weight = gradients.explain(
            loss, params, np.ones(40, np.float32), batch_size=4
        ).parameters
        assert (bias.added_flops, bias.added_bytes) == (2 * 4**2 * 40, 4 * 4 * 40)
        # Placed differently: the products of both uses are formed for the Gram matrix alone.
        assert weight.added_flops == 2 * 2 * 4 * 40**2 + 2 * 4**2 * 40**2
