"""How an exported model is made."""
