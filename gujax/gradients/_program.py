"""Reading a gradient's own program.

`jax.grad` of the one-example loss is traced to a jaxpr. In it every parameter gradient is, up to
structural steps, a sum of products: a `dot_general` of an activation and a back-propagated error,
a scatter of errors into an embedding table, and so on. A `Program` walks back from a gradient to
those products (`resolve`) and can then evaluate their *factors* in place of the products
(`evaluate`). Nothing is assumed about the model: custom derivatives, rematerialization and control
flow are already resolved by JAX, so what is read is exactly what `jax.grad` would have computed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.extend import core

from gujax.gradients._terms import Accumulator, Inner, Term, UnfactorableError

Atom = Any  # core.Var | core.Literal | Inner
Rule = Callable[["Program", core.JaxprEqn, int], list[Term]]
NestedRun = Callable[["Program", core.JaxprEqn, list[Any], set[int], list[Inner]], tuple]

RULES: dict[str, Rule] = {}
NESTED: dict[str, NestedRun] = {}
BATCHED: dict[str, Callable[[core.JaxprEqn, list[Any]], Sequence[Any]]] = {}


def aval(atom: Atom) -> Any:
    """Shape and type of an atom."""
    return atom.aval


def rule(*primitives: str) -> Callable[[Rule], Rule]:
    """Register how a gradient that a primitive outputs decomposes into terms.

    A rule gets (program, equation, index of the output) and returns the terms of that output, or
    raises `UnfactorableError` with the reason.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(primitives, function))
        return function

    return register


def nested(primitive: str) -> Callable[[NestedRun], NestedRun]:
    """Register how a primitive with bodies is run when factors from inside are wanted too.

    The function gets (program, equation, input values, indices of the outputs that are wanted,
    wanted `Inner` atoms) and returns (outputs, with None where not wanted; factors per atom).
    """

    def register(function: NestedRun) -> NestedRun:
        NESTED[primitive] = function
        return function

    return register


def batched(primitive: str) -> Callable[[Any], Any]:
    """Register how a primitive is run that JAX cannot run for all examples under `vmap`.

    The function gets (equation, input values) and returns the outputs.
    """

    def register(function: Any) -> Any:
        BATCHED[primitive] = function
        return function

    return register


class Program:
    """One scope (a flat jaxpr) whose variables can be read as values or as factors.

    Args:
        closed: the jaxpr; nested jits and rematerialized regions are inlined.
        accumulators: indices of inputs that a surrounding scan carries along to add gradients to;
            resolving one gives an `Accumulator` in place of terms.
    """

    def __init__(self, closed: core.ClosedJaxpr, accumulators: Sequence[int] = ()):
        flat = inline(closed)
        self.jaxpr, self.consts = flat.jaxpr, flat.consts
        self._accumulators = {self.jaxpr.invars[i] for i in accumulators}
        self._producers = {
            var: (eqn, index) for eqn in self.jaxpr.eqns for index, var in enumerate(eqn.outvars)
        }
        self._bodies: dict[tuple[int, int], Program] = {}

    def body(self, eqn: core.JaxprEqn, closed: core.ClosedJaxpr, index: int = 0, **kwargs: Any):
        """The program of a body of `eqn`, always the same object."""
        key = (id(eqn), index)
        if key not in self._bodies:
            self._bodies[key] = Program(closed, **kwargs)
        return self._bodies[key]

    def resolve(self, atom: Atom) -> list[Term]:
        """Terms whose sum is the value of `atom`.

        Raises:
            UnfactorableError: some part of it is not a product that a rule knows.
        """
        if self.is_zero(atom):
            return []
        if isinstance(atom, core.Literal):
            raise UnfactorableError("a constant is added")
        if atom in self._accumulators:
            return [Accumulator(atom)]  # type: ignore[list-item]
        if atom not in self._producers:
            raise UnfactorableError("a value that does not depend on a product is added")
        eqn, index = self._producers[atom]
        handler = RULES.get(eqn.primitive.name)
        if handler is None:
            raise UnfactorableError(f"no rule for the gradient of a use by `{eqn.primitive.name}`")
        return handler(self, eqn, index)

    def uses(self, var: core.Var) -> int:
        """How often `var` is read in this scope."""
        readers = [*(atom for eqn in self.jaxpr.eqns for atom in eqn.invars), *self.jaxpr.outvars]
        return sum(atom is var for atom in readers)

    def is_zero(self, atom: Atom) -> bool:
        """Whether `atom` is zero by construction: what JAX starts to accumulate gradients from."""
        if isinstance(atom, core.Literal):
            return aval(atom).shape == () and atom.val == 0
        eqn = self._producer(atom, "broadcast_in_dim", "convert_element_type", "pvary")
        return eqn is not None and self.is_zero(eqn.invars[0])

    def scalar(self, atom: Atom) -> Atom | None:
        """The scalar that `atom` is a broadcast of, or None."""
        if aval(atom).shape == ():
            return atom
        eqn = self._producer(atom, "broadcast_in_dim")
        return None if eqn is None else self.scalar(eqn.invars[0])

    def varying_axes(self, atom: Atom) -> set[int]:
        """Axes along which `atom` can vary: longer than one, and not the result of a broadcast."""
        axes = {axis for axis, size in enumerate(aval(atom).shape) if size > 1}
        eqn = self._producer(atom, "broadcast_in_dim")
        if eqn is None:
            return axes
        source = aval(eqn.invars[0]).shape
        targets = eqn.params["broadcast_dimensions"]
        return {int(axis) for axis, size in zip(targets, source, strict=True) if size > 1} & axes

    def _producer(self, atom: Atom, *names: str) -> core.JaxprEqn | None:
        if isinstance(atom, core.Literal) or atom not in self._producers:
            return None
        eqn, _ = self._producers[atom]
        return eqn if eqn.primitive.name in names else None

    def evaluate(self, args: Sequence[Any], atoms: Sequence[Atom]) -> list[Any]:
        """Values of `atoms`, computing only what they need.

        The products that factors stand for are thereby never computed, also inside loops.
        """
        inner: dict[int, list[Inner]] = {}
        needed: set[core.Var] = set()
        for atom in atoms:
            if isinstance(atom, Inner):
                inner.setdefault(id(atom.eqn), []).append(atom)
            elif isinstance(atom, core.Var):
                needed.add(atom)
        live = []
        for eqn in reversed(self.jaxpr.eqns):
            writes = eqn.effects and any(is_reference(v) and v in needed for v in eqn.invars)
            if writes or id(eqn) in inner or not needed.isdisjoint(eqn.outvars):
                live.append(eqn)
                needed.update(atom for atom in eqn.invars if isinstance(atom, core.Var))

        values: dict[Any, Any] = dict(zip(self.jaxpr.invars, args, strict=True))
        values.update(zip(self.jaxpr.constvars, self.consts, strict=True))

        def read(atom: Atom) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for eqn in reversed(live):
            arguments = [read(atom) for atom in eqn.invars]
            wanted_inner = inner.get(id(eqn))
            if wanted_inner is not None:
                wanted = {i for i, var in enumerate(eqn.outvars) if var in needed}
                run = NESTED[eqn.primitive.name]
                outputs, factors = run(self, eqn, arguments, wanted, wanted_inner)
                values.update(zip(wanted_inner, factors, strict=True))
            else:
                outputs = BATCHED.get(eqn.primitive.name, bind)(eqn, arguments)
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in atoms]

    def factors(self, args: Sequence[Any], atoms: Sequence[Atom], terms: Sequence[Term]):
        """Values of `atoms`, and the factors of `terms`, from one evaluation."""
        values = self.evaluate(args, [*atoms, *(atom for t in terms for atom in t.inputs)])
        rest = iter(values[len(atoms) :])
        built = [term.build(*(next(rest) for _ in term.inputs)) for term in terms]
        return values[: len(atoms)], built


def is_reference(atom: Atom) -> bool:
    """Whether `atom` is not an array but a reference to one, which the program reads and writes."""
    return type(aval(atom)).__name__ == "AbstractRef"


def refuse_references(eqn: core.JaxprEqn) -> None:
    """Raise UnfactorableError where an equation with bodies uses references: it is run whole."""
    if any(is_reference(atom) for atom in eqn.invars):
        raise UnfactorableError(f"`{eqn.primitive.name}` reads or writes a reference")


def bind(eqn: core.JaxprEqn, arguments: list[Any]) -> Sequence[Any]:
    """Apply the primitive of an equation, as JAX's own jaxpr evaluation does."""
    with eqn.ctx.manager:
        outputs = eqn.primitive.bind(*arguments, **eqn.primitive.get_bind_params(eqn.params))
    return outputs if eqn.primitive.multiple_results else [outputs]


def inline(
    closed: core.ClosedJaxpr,
    apply: Callable[[core.JaxprEqn, list[Any]], Sequence[Any]] = bind,
) -> core.ClosedJaxpr:
    """Flatten calls: nested jits and rematerialized regions.

    Args:
        closed: the program.
        apply: ``apply(equation, inputs)``, the outputs of every other equation.
    """

    def run(jaxpr: core.Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip(jaxpr.invars, args, strict=True))
        values.update(zip(jaxpr.constvars, consts, strict=True))

        def read(atom: Atom) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for eqn in jaxpr.eqns:
            arguments = [read(atom) for atom in eqn.invars]
            match eqn.primitive.name:
                case "jit" | "closed_call":
                    inner: Any = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
                    outputs: Sequence[Any] = run(inner.jaxpr, inner.consts, arguments)
                case "remat2":
                    # The recomputation must stay one: without the barrier XLA would merge it
                    # with the forward pass and keep the activations that remat was asked to drop.
                    if eqn.params["prevent_cse"]:
                        arguments = lax.optimization_barrier(arguments)
                    outputs = run(eqn.params["jaxpr"], (), arguments)
                case _:
                    outputs = apply(eqn, arguments)
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    jaxpr = closed.jaxpr
    return jax.make_jaxpr(lambda *args: run(jaxpr, closed.consts, args))(
        *(var.aval for var in jaxpr.invars)
    )
