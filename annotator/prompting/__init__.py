"""The prompt model: which one answers, its embeddings made ahead, its tuning on the project."""
