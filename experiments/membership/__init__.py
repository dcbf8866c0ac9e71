"""Train under a defense, attack the models."""
