"""Labels of other programs, each written by a library that is not ours, and what becomes of them."""
