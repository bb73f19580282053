"""Strategies under the names that the platform's vendor gave them."""
