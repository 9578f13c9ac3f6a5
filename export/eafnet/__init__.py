"""EAFNet, the exposure-adaptive fusion network: L as in the paper, M, S and XS for real time.

``config`` names the variants and the ablations, ``model`` joins ``prealign`` (what the network sees),
``attention`` (asymmetric cross attention and merging) and ``restoration``.
"""
