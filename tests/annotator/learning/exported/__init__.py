"""What runs beside an exported model."""
