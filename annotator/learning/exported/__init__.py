"""What leaves with an exported model, copied as it is. The app imports nothing from here."""
