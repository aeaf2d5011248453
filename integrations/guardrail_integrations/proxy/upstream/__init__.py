"""HTTP/1.1 towards upstreams, and fetches of addresses that clients name. Imports http."""
