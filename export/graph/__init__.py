"""The torch model cut into backbone and head, and its backbone as ONNX.

cut        where the head begins, found by running the model
tail       what follows the head: nothing, a factor, a softmax
hooks      what goes into a layer, and what comes out
trace      the backbone as ONNX
decompose  operators without an ONNX form, as others
canonical  the same bytes from the same weights
patterns   operators spelled as runtimes know them
parity     the differences between torch and ONNX
"""
