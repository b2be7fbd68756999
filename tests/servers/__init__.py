"""Real servers for the tests: by address, else from the machine, else from wheels, else from containers."""
