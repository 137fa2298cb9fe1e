"""The training loop: what a step weighs, and where its patches come from."""
