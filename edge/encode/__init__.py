"""Pictures to files that survive a crash, and back."""
