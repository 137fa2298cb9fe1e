"""Small and rare objects: what labels say of them, and what is proposed."""
