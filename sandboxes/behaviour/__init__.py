"""How a vendor's server behaves: who may call, how often, and what goes wrong. Any sandbox can be built on it."""
