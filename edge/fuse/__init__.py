"""A reference frame and a low/high pair to one HDR frame, on the best rung that is quick enough."""
