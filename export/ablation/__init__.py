"""The paper's ablation at small scale: its rows, their training and scores, the document."""
