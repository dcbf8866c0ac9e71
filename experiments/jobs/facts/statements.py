"""True statements and made-up ones."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.framework.errors import as_user_error, check_option
from gujax import data

_TEMPLATES = Path(__file__).with_name("templates.json")
TRUE_FILE, MADE_UP_FILE = "true.txt", "made_up.txt"


class Facts(NamedTuple):
    """Statements in two forms each.

    Attributes:
        true: True statements, [F].
        made_up: Made-up ones, [F]: the same with something else swapped in; or, of a folder, any.
    """

    true: tuple[str, ...]
    made_up: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.true)

    def part(self, positions: np.ndarray) -> "Facts":
        """Some of them."""
        return Facts(*(tuple(side[i] for i in positions) for side in self))


def swapped(seed: int) -> Facts:
    """The statements that come along, and falsehoods: what one is about is said of the next.

    Every template says one thing of each of its entities, all different, so that any other is
    false. All words of the true statements are in the made-up ones equally often; in a part
    of them, such as the facts of a seed, some are in one kind only.
    """
    rng = np.random.default_rng(seed)
    true, made_up = [], []
    for template in json.loads(_TEMPLATES.read_text(encoding="utf-8")):
        form, entities = template["statement"], template["entities"]
        order = rng.permutation(len(entities))
        for place, following in zip(order, np.roll(order, -1)):
            subject, said = entities[place]
            true.append(form.format(subject, said))
            made_up.append(form.format(subject, entities[following][1]))
    return Facts(tuple(true), tuple(made_up))


def of_folder(folder: Path, seed: int) -> Facts:
    """The statements of a folder, paired by chance.

    Raises:
        UserError: A file cannot be read, or holds an empty line.
    """
    rng, sides = np.random.default_rng(seed), []
    for name in (TRUE_FILE, MADE_UP_FILE):
        path = folder / name
        check_option(
            path.is_file(),
            f"--facts {folder}: there is no {name} in it; put one there, a statement per line",
        )
        with as_user_error(ValueError):
            lines = tuple(dict.fromkeys(data.load_texts(str(path))))
        sides.append(tuple(lines[i] for i in rng.permutation(len(lines))))
    count = min(map(len, sides))
    return Facts(sides[0][:count], sides[1][:count])
