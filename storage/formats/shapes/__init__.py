"""Objects as other programs write them: run lengths, and outlines along the edges of pixels."""
