"""From PyTorch to the graphs a device runs: ONNX, FP16, TensorRT, and the proof that they agree."""
