"""SAM: a face crop and a target age to the face at that age; with a person's adapter, to that person's face.

Source: Alaluf, Patashnik and Cohen-Or, "Only a Matter of Style: Age Transformation Using a Style-Based Regression
Model" (2021); for the adapter Qi et al., "MyTimeMachine" (2025), equation 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..stylegan2 import Generator
from ..stylegan2.generator import NoiseMode
from .adapter import Adapter
from .encoder import AgeEncoder, with_age


class Sam(nn.Module):
    """Two encoders, the mean w+ and a generator; the tensor names are those of the "everyage-sam" file.

    codes = encoder(RGB + age) + pretrained_encoder(RGB) + latent_avg, and then the adapter, if there is one; with
    `start_from_latent_avg` the pretrained encoder is left out. `sam(crops, ages)` decodes them with stored noise.

    Always in eval mode: batch normalisation uses its stored statistics, also while an adapter trains (`train()`
    reaches the adapter alone). So one face has one code, whatever shares its batch. The official inference does
    the same; the official training does not, it lets the frozen encoders normalise by the batch.
    """

    latent_avg: Tensor

    def __init__(
        self,
        encoder: AgeEncoder,
        pretrained_encoder: AgeEncoder | None,
        decoder: Generator,
        adapter: Adapter | None = None,
        start_from_latent_avg: bool = False,
    ):
        super().__init__()
        if pretrained_encoder is None and not start_from_latent_avg:
            raise InputError("This aging model lacks its pretrained_encoder; choose a whole sam_ffhq_aging.pt.")
        self.encoder, self.pretrained_encoder, self.decoder = encoder, pretrained_encoder, decoder
        self.adapter = adapter
        self.start_from_latent_avg = start_from_latent_avg
        self.num_ws, self.w_dim = decoder.num_ws, decoder.w_dim
        for name, part in (("encoder", encoder), ("pretrained_encoder", pretrained_encoder), ("adapter", adapter)):
            if part is not None and (part.num_ws, part.w_dim) != (self.num_ws, self.w_dim):
                raise InputError(
                    f"The {name} speaks {part.num_ws} styles of {part.w_dim} numbers, but the generator of this aging "
                    f"model {self.num_ws} of {self.w_dim}; they do not belong together."
                )
        self.register_buffer("latent_avg", torch.zeros(self.num_ws, self.w_dim))

    @classmethod
    def from_config(
        cls,
        encoder: dict[str, Any],
        pretrained_encoder: dict[str, Any] | None,
        decoder: dict[str, Any],
        start_from_latent_avg: bool = False,
        adapter: dict[str, Any] | None = None,
    ) -> Sam:
        """The network that a file's `config` describes: the constructor arguments of each part."""
        return cls(
            AgeEncoder(**encoder),
            AgeEncoder(**pretrained_encoder) if pretrained_encoder else None,
            Generator(**decoder),
            Adapter(**adapter) if adapter else None,
            start_from_latent_avg,
        )

    @property
    def config(self) -> dict[str, Any]:
        """What `from_config` rebuilds this network from."""
        return {
            "encoder": self.encoder.init_kwargs,
            "pretrained_encoder": self.pretrained_encoder.init_kwargs if self.pretrained_encoder else None,
            "decoder": self.decoder.init_kwargs,
            "start_from_latent_avg": self.start_from_latent_avg,
            "adapter": self.adapter.init_kwargs if self.adapter else None,
        }

    @property
    def takes_age(self) -> bool:
        """False for a pSp model, whose encoder reads RGB alone: it can `invert`, but not age."""
        return self.encoder.input_nc == 4

    def train(self, mode: bool = True) -> Sam:
        """Set the adapter's mode; everything else stays in eval mode, see above."""
        super().train(False)
        if self.adapter is not None:
            self.adapter.train(mode)
        return self

    def personal(self, adapter: Adapter | None) -> Sam:
        """This model with another adapter, or with none. All other weights are shared, not copied."""
        sam = Sam(self.encoder, self.pretrained_encoder, self.decoder, adapter, self.start_from_latent_avg)
        sam.latent_avg = self.latent_avg
        return sam.eval()

    def invert(self, crops: Tensor) -> Tensor:
        """The face as it is: crops (N, 3, R, R) in [-1, 1] -> w+ (N, num_ws, w_dim), pretrained_encoder + latent_avg.

        It does not depend on the age; `codes` takes it as `origin`. It is also what style mixing takes from a
        reference photo. Raises InputError if this model has no encoder for it.
        """
        encoder = self.pretrained_encoder if self.takes_age else self.encoder
        if encoder is None:
            raise InputError("This aging model lacks its pretrained_encoder; choose a whole sam_ffhq_aging.pt.")
        self._check(crops)
        codes: Tensor = encoder(crops) + self.latent_avg
        return codes

    def codes(
        self, crops: Tensor, ages: Tensor, adapter: Adapter | None = None, origin: Tensor | None = None
    ) -> Tensor:
        """The faces at other ages in w+.

        crops: (N, 3, R, R) in [-1, 1], R the encoder's resolution (256 for SAM). ages: (N,), target ages in years;
        one crop may have many ages. adapter: a person's, in place of the model's own. origin: what `invert(crops)`
        gave, to spare its encoder when one crop is asked for several times. Returns (N, num_ws, w_dim).
        Raises ValueError for other shapes, InputError for a model that does not know ages.
        """
        if not self.takes_age:
            raise InputError("This is a pSp model, which rebuilds a face but can't age it; choose a SAM model.")
        self._check(crops)
        if ages.dim() != 1 or len(crops) not in (1, len(ages)):
            raise ValueError(f"{len(crops)} crops need as many ages (or one crop any number), not {tuple(ages.shape)}.")
        ages = ages.to(crops)
        if self.start_from_latent_avg:
            origin = self.latent_avg
        elif origin is None:
            origin = self.invert(crops)
        codes: Tensor = self.encoder(with_age(crops.expand(len(ages), -1, -1, -1), ages)) + origin
        chosen = self.adapter if adapter is None else adapter
        return codes if chosen is None else chosen(codes, ages / 100)

    def decode(self, codes: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """w+ (N, num_ws, w_dim) -> (N, 3, S, S), nominally in [-1, 1], S the generator's resolution (1024 for SAM)."""
        images: Tensor = self.decoder.synthesis(codes, noise_mode)
        return images

    def forward(self, crops: Tensor, ages: Tensor, adapter: Adapter | None = None) -> Tensor:
        """crops (N, 3, 256, 256) in [-1, 1], ages (N,) in years -> (N, 3, 1024, 1024), with the stored noise."""
        return self.decode(self.codes(crops, ages, adapter))

    def _check(self, crops: Tensor) -> None:
        size = self.encoder.resolution
        if crops.dim() != 4 or crops.shape[1:] != (3, size, size):
            raise ValueError(f"Crops must be (N, 3, {size}, {size}), not {tuple(crops.shape)}.")
