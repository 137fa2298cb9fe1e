"""The commands of `app.py`, each a function that fills its parser and one that runs."""
