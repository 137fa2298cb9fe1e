"""The final model of a project: what was asked for, how far it is, and what came of it."""
