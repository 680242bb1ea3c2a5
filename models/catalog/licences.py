"""The licences of the models in the catalog: what each allows, in plain words, and where its full text is."""

from __future__ import annotations

from .record import Licence

APACHE = Licence(
    "apache-2.0",
    "Apache License 2.0",
    "Any use",
    "Any use, commercial use included, as long as the licence and notices are kept.",
    "https://www.apache.org/licenses/LICENSE-2.0",
    ask=False,
)
MIT = Licence("mit", "MIT License", "Any use", "Any use, as long as the licence text is kept.", ask=False)
CC0 = Licence("cc0-1.0", "CC0 1.0", "Any use", "Any use, without conditions.", ask=False)
BSD = Licence(
    "bsd-2-clause", "BSD 2-Clause License", "Any use", "Any use, as long as the licence text is kept.", ask=False
)
NVIDIA = Licence(
    "nvidia-source-code",
    "NVIDIA Source Code License (non-commercial)",
    "Research only",
    "Research and evaluation only, not commercial use; what is derived from it stays under the same terms. "
    "The FFHQ photos behind the face models are CC BY-NC-SA 4.0.",
    "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
)
FFHQ_WEIGHTS = Licence(
    "ffhq-weights",
    "MIT code with non-commercial weights",
    "Research only",
    "The code is MIT, but the weights build on NVIDIA's StyleGAN2-FFHQ (NVIDIA Source Code License) and on FFHQ "
    "photos (CC BY-NC-SA 4.0): research and evaluation only, not commercial use.",
    "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
)
INTERDIGITAL = Licence(
    "interdigital-evaluation",
    "InterDigital Limited Software Evaluation License",
    "Research only",
    "Research and evaluation only. It may not be passed on to others and not be used commercially.",
)
UNSTATED = Licence(
    "unstated",
    "Terms not known",
    "Ask its makers",
    "Everyage does not know under what terms these weights may be used: ask their makers, and treat them as for "
    "research only.",
)
OPENRAIL_M = Licence(
    "creativeml-openrail-m",
    "CreativeML Open RAIL-M",
    "Use with limits",
    "Commercial use included, but not for the harmful purposes that the licence lists; whoever passes it on passes "
    "on these limits.",
    "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
)
OPENRAIL_PP = Licence(
    "openrail++",
    "CreativeML Open RAIL++-M",
    "Use with limits",
    "Commercial use included, but not for the harmful purposes that the licence lists; whoever passes it on passes "
    "on these limits.",
)
STABILITY = Licence(
    "stability-community",
    "Stability AI Community License",
    "Use with limits",
    "Personal use, research, and commercial use up to the yearly revenue that the licence names; above it Stability "
    "AI must be asked.",
)
FLUX_DEV = Licence(
    "flux-1-dev-non-commercial",
    "FLUX.1 [dev] Non-Commercial License",
    "Not commercial",
    "Not commercial and not in production; the licence has a list of forbidden purposes.",
    "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
)
HUB = Licence(
    "hub",
    "As the model's page on the Hugging Face Hub says",
    "See its page",
    "Everyage does not know the terms of this model: read them on its page before you agree.",
)
OWN = Licence(
    "own",
    "Your own responsibility",
    "Your own file",
    "Everyage does not know where this file comes from: use it only if its makers allow it.",
    ask=False,
)
BY_NAME = {"Apache-2.0": APACHE, "MIT": MIT, "CC0-1.0": CC0, "BSD-2-Clause": BSD}
"""The licences that the cards of the shipped files name."""
