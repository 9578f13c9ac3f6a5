"""What keeps the recorder going without a person: systemd, restarts of stages, heat, and waiting for parts."""
