"""Sessions on one disk: which there are, what they are called, which may go, and what a broken disk costs.

docs/storage.md tells all of it in prose.
"""
