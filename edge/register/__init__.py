"""The secondary view seen from the reference camera: by calibration, then by what moved."""
