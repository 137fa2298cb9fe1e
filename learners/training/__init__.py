"""The one training loop and what it is made of: data, targets, losses, views, mixes, checkpoints."""
