"""GigE Vision and USB3 Vision cameras, received by Aravis.

One camera has two threads. The *reader* (the capture thread of whoever records) takes buffers from the stream
and never calls the device: each call to a camera that is gone blocks for seconds. The *keeper* opens, sets,
watches and rebuilds. What is decided is decided by pure functions beside them: frame ids (``ids``), pixel
formats (``pixels``), which exposure a frame had (``identify``), what a camera calls things (``quirks``).
"""
