"""How fast models are on this machine."""
