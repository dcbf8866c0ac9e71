"""What attacks in closed form have in common: they are exact, or say why they cannot be."""


class NotInvertible(ValueError):
    """The conditions of an exact attack do not hold for an update; the message says which."""
