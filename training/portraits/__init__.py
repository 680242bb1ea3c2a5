"""How the embedded text-to-image model is made: autoencoder, text encoder and denoiser, on captioned rendered heads."""
