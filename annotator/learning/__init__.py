"""The loop of rounds: when a learner trains, on what, how it ended, and what to label next."""
