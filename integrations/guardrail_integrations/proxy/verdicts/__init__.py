"""What the proxy itself decides of a call, and what clients are told of verdicts. Imports http."""
