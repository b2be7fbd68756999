"""The conformance descriptions of the built-in connectors: one module each, named after the source type.

They lie here because the command line is the one place of the product that may know sandboxes: `shared` may not import
them, they import nothing of ours, and tests are not installed.
"""
