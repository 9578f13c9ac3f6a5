"""twinhdr on the device: capture, pair, develop, register, fuse, encode, store."""

import os

# ONNX Runtime from 1.29 on sends usage data to its maker by default, on Linux too. Its function for
# switching that off comes too late: the variable must stand before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
