"""How volumes are filled and proposals changed."""
