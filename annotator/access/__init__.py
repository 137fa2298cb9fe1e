"""Who may come in: accounts, sessions, and the guard in front of every route."""
