"""Objects that touch, told apart: what the network is asked, how its answer becomes numbers, how good they are."""
