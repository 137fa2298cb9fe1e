"""The final model of a project: a long training on all labels, of one network or one a fold, made the most of."""
