"""Radiance to what a screen shows: HDR10, HLG and SDR."""
