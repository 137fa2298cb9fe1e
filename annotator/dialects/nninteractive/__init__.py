"""nnInteractive's remote protocol: prompts in any plane of a volume that a tool sends, answered with what changed."""
