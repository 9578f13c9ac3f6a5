"""What the recorder knows about itself, and how it tells."""
