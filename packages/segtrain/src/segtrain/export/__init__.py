"""A trained net as a file that others can use: ONNX, torch.export, safetensors."""
