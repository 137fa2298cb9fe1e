"""One file a method, in its paper's names: a recipe for the one training loop, or what runs its rounds."""
