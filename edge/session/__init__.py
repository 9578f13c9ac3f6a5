"""A recording on disk. docs/session.md describes the format."""
