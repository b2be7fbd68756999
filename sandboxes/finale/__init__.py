"""A server that behaves as Finale Inventory does."""
