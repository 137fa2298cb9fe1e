"""What runs for minutes and more: attacks and quiet hours, which the tests repeat in short."""
