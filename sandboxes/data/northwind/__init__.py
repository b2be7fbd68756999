"""Real products and suppliers of the Northwind traders, as CSV files."""
