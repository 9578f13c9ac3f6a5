"""``twinhdr bench``: what the line and the networks cost on this machine."""
