"""What runs a backbone on this device.

select       which of these runs here, and why
engines      the backbone compiled by TensorRT: build, compare, keep, open
variants     the backbone in fp16, int8 or fused, for ONNX Runtime
calibration  the clips that calibrate and judge both
batching     the clips of several threads in one run
tensorrt, cuda
             TensorRT and the GPU, each known to one module
"""
