"""Fine-tuning a generator on a folder of pictures."""
