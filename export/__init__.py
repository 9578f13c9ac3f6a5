"""Everything that needs PyTorch: EAFNet, its training, and its way to ONNX."""

import edge as edge  # first, because it keeps ONNX Runtime from sending usage data
