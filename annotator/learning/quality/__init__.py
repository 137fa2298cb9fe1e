"""How good models are: what is held out, which of it judges, and what their own words about themselves are worth."""
