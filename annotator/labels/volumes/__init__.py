"""Labels that say something of a whole object in a volume at once."""
