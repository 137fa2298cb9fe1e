"""The training-free prompt model: candidate regions around what is pointed at, settled by a random walker."""
