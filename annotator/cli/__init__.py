"""The commands of `app.py`: for each a function that adds its arguments and one that runs it."""
