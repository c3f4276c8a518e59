"""Write reference.npz: every modifier of modifiers.json through the float32 encoder in torch.

python tests/data/text/make_reference.py PATH_TO/all-MiniLM-L6-v2
"""

import json
import sys
from pathlib import Path

import numpy as np

from edgesplit.export.text_encoder import reference_embeddings


def write_reference(model: Path) -> None:
    here = Path(__file__).parent
    cases = json.loads((here / "modifiers.json").read_text())
    texts = sorted({text for case in cases for text in case["wanted"] + case["known"]})
    embeddings = reference_embeddings(model, texts)
    np.savez_compressed(here / "reference.npz", texts=np.array(texts), embeddings=embeddings)


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
