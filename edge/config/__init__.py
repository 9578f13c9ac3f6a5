"""The configuration: files, their layers, the shape of every section, and what a fault says."""
