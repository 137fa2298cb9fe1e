"""A page to try the canvas engine without the application: small pictures with known values, a link that records."""
