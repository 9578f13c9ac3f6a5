"""When a frame was filmed: two cameras' clocks and the host's, brought to one time."""
