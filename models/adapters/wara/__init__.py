"""WaRA (Heidari et al. 2025): an update of low rank in the wavelet domain of the weight.

What is the paper's: the update is written in wavelet sub-bands, factorised there into matrices of low rank, and
transformed back; one pair of factors in its overview figure. What is our reading: everything else, as the paper's text
and code were not at hand. A factor pair for each sub-band and level ("bands"), rows and columns of the weight as the
two axes of the transform, periodised wavelets, zeros as the start of one factor, alpha / r as the scale. "shared" is
the figure: with an orthonormal wavelet, transforming the input and the output is the same as an update of the weight
whose LL and HH bands are the one product B A, and whose LH and HL are zero.
"""
