"""Options of the job `federated`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Several, options
from experiments.inversion.attacks import check_attacks
from experiments.inversion.options import InversionOptions
from experiments.tasks.options import TaskOptions


@options
class Options(InversionOptions, TaskOptions):
    """Invert what clients in processes of their own send to a server, one by one or summed.

    Every client is a process with examples of its own; the server is one more. They talk through
    `jax.distributed`: the server sends parameters, the clients send their updates, or, under secure
    aggregation, nothing but their sum leaves them.

    Attributes:
        hidden: Widths of the MLP's hidden layers.
        clients: Numbers of clients under secure aggregation; without it there are as many as the
            largest.
        local_steps: Numbers of steps that a client takes before it sends.
        batch_size: Examples of a step.
        attacks: With what: ig, analytic, lone_units, spear and others of the job `invert`;
            "adaptive", which models all clients' steps, comes along.
    """

    hidden: tuple[Count, ...] = (256, 256)
    clients: Several[Count] = (2, 8)
    local_steps: Several[Count] = (1, 4)
    batch_size: Count = 1
    attacks: Several[str] = ("ig", "adaptive", "analytic", "lone_units", "spear")
    victims: Count = 32

    def __post_init__(self) -> None:
        check_attacks(self.attacks)
        check_option(
            min(self.clients) > 1,
            f"--clients {min(self.clients)} must be 2 or more: a sum of one "
            "client is its update, which is attacked anyway",
        )
        for clients in self.clients:
            for steps in self.local_steps:
                size = clients * steps * self.batch_size
                check_option(
                    self.victims % size == 0,
                    f"--victims {self.victims} must be a multiple of the {size} examples of "
                    f"{clients} clients with {steps} steps of {self.batch_size}",
                )
