"""The frozen part of a model: clip -> feature.

identity   its bytes, and the feature space that heads belong to
session    makes every ONNX Runtime session
backends   clip -> feature by ONNX Runtime, or by any function
difference how far features or logits differ
features   a folder of videos -> features, each computed once
ranges     the range of each value on clips
graph      what a rewrite of a backbone takes and returns, and tools to write one
fp16, int8, attention
           rewrite a backbone in half precision, in 8 bits, with fused attention
fuse       backbone and head in one ONNX file
"""
