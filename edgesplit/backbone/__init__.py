"""The frozen part of a model: clip -> feature.

identity   its bytes, and the feature space that heads belong to
session    the one place where ONNX Runtime sessions are made
backends   clip -> feature by ONNX Runtime, or by any function
features   a folder of videos -> features, each computed once
ranges     how far each value goes on clips
graph      what rewriting a backbone takes
fp16, int8, attention
           half precision, 8 bits, fused attention
fuse       backbone and head in one ONNX file
"""
