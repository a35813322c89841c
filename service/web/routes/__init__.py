"""The routes, a module for each section of the contract."""
