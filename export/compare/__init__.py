"""What a network is compared with: classical merges, exposure fusion, and other people's networks.

A *method* makes one picture of one bracket. ``rows.comparison_rows`` is the list that ``evaluate`` judges,
``onnx_file.onnx_row`` takes in any ONNX file. docs/evaluation.md says what each row is and is not.
"""
