"""Plain data: what the rest of the house passes around. Imports nothing above it."""
