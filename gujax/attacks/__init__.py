"""Attacks: privacy as an adversary measures it."""
