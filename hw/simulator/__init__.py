"""A virtual dual-camera rig in a moving world made of a real HDR image, with the ground truth it filmed."""
