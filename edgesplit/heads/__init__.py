"""The head: a label tree with one row a node.

label_text  what a label may be, and its words
labels      the label tree
head        tree and rows; evaluate and classify in numpy
onnx_codec  the head as an ONNX file: write it, and read it by rebuilding
onnx_graph  the graph in that file
diff        what differs between two heads
statistics  class means, covariance and a sample of unlabelled clips
metrics     generality, locality, churn
"""
