"""Inversion of shared updates: defenses, the attacks that each has to stand, and their measures.

    task, space = standardized(load_task("digits", "mlp", (1024, 1024)))
    (shared,) = build_shared_updates(task, ["precode"])
    received = share(shared, params, victims, key)  # params of shared.model
    outcome = attacks.methods()["adaptive"].run(received, SearchBudget(space, 300, 0.1, 1e-2), key)
    frame = rows(received, "adaptive", outcome, victims, space)

`shared.loss_fn` (and `shared.randomized`) is what such a model is trained with.
"""
