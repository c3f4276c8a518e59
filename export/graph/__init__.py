"""Cut a torch model into backbone and head, and export the backbone to ONNX.

cut        find the head by running the model
tail       identify the operation after the head: none, a factor, a softmax
hooks      record the inputs and outputs of layers
trace      export the backbone to ONNX
decompose  replace operators that have no ONNX form
canonical  write the same bytes for the same weights
patterns   rewrite operators into the patterns that runtimes fuse
parity     measure the differences between torch and ONNX
"""
