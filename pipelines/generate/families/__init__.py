"""The kinds of diffusion models that can be run: one small file each, one contract (`base.Family`)."""
