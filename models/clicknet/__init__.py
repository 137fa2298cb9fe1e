"""The built-in prompt model: a small network trained by us, its weights, and how it is used on a slice."""
