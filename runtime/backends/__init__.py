"""Run a backbone on this device.

select     select and open the fastest backend that starts, or one by name
engines    the backbone compiled by TensorRT
variants   the backbone in fp16, int8 or with fused attention, for ONNX Runtime
recipes    how each variant is made, and how far it may differ
artifacts  keep both in the user's cache, whole or not at all
agreement  compare both with the fp32 backbone, on the user's clips
batching   the clips of several threads in one run
tensorrt   the only module that imports TensorRT
cuda       the only module that imports CUDA
"""
