"""What the sandboxes serve: the real Northwind files, and a generated shop of any size."""
