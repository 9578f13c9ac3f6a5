"""The stages of a recording, each the work of one thread, and the rings between them."""
