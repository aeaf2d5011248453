"""A small CLIP for tests: the pictures it learns from, its training, and its figures."""
