"""Is the device kept busy? What a step costs the processor outside the network, and what a GPU gets done."""
