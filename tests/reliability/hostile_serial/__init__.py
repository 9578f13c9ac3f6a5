"""What pyserial is told to look for ``hostile://`` in."""
