"""What tests share: a browser, clients, small models, and a page for the canvas alone."""
