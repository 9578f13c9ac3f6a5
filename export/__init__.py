"""Everything that needs PyTorch: EAFNet, its training, and its way to ONNX."""
