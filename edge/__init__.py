"""twinhdr on the device: capture, pair, develop, register, fuse, encode, store."""
