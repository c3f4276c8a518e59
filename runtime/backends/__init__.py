"""Run a backbone on this device.

select     select and open the fastest backend that starts, or one by name
engines    the backbone compiled by TensorRT
variants   the backbone in fp16, int8 or with fused attention, for ONNX Runtime
recipes    the rewrite and the tolerance of each variant
artifacts  keep engines and variants in the user's cache, with atomic writes
agreement  compare engines and variants with the fp32 backbone, on the user's clips
batching   run the clips of several threads as one batch
tensorrt   the only module that imports TensorRT
cuda       the only module that imports CUDA
"""
