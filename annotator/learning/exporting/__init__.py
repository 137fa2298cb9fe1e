"""How an exported model is made: the app's own code packed beside the weights, ONNX, the card and the report."""
