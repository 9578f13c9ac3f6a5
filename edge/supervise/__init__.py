"""What keeps the recorder going without a person: systemd, restarts of stages, heat, waiting at the start."""
