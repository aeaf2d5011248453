"""The proxy as it listens: which path is what, its own paths, and the processes that serve. Imports
all other folders, and none imports it.
"""
