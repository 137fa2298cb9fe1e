"""How the built-in prompt model was trained: `python -m models.clicknet_training --help`."""
