"""What leaves with an exported model and predicts there. The launcher is copied, the rest packed with its imports."""
