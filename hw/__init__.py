"""Everything that touches a wire: cameras, trigger board, device facts, and their simulation."""
