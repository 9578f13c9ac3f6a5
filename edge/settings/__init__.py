"""Changing the configuration of a device: edit its files, reload them, take changes from a USB stick."""
