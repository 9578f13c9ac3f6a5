"""The life of a recording: threads, their watch, and their end."""
