"""The head: a label tree with one row of weights per node.

label_text  the form of a label, and its words
labels      the label tree
head        tree and rows; evaluation in numpy
onnx_codec  write a head as an ONNX file, and read it
onnx_graph  the graph in that file
diff        the differences between two heads
statistics  class means, covariance and a sample of unlabelled clips
metrics     generality, locality, churn
"""
