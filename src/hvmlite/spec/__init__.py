"""Byte layouts and constants as the documents print them; no logic."""
