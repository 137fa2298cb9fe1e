"""The client of nnInteractive servers: against our own server over a socket, against broken ones, against theirs."""
