"""The frozen part of a model: clip -> feature.

identity   the backbone's bytes, and the feature space that heads belong to
session    makes every ONNX Runtime session
backends   clip -> feature by ONNX Runtime, or by any function
difference measures of how features or logits differ
features   features of a folder of videos, each computed once
ranges     the range of each value on clips
graph      types and tools for rewrites of a backbone
fp16, int8, attention
           rewrite a backbone in half precision, in 8 bits, with fused attention
fuse       backbone and head in one ONNX file
"""
