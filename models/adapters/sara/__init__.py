"""SaRA (Hu et al., ICLR 2025, arXiv 2409.06633): train the weights that hardly matter, and leave the others alone."""
