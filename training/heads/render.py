"""Pictures of people: everything tied together, for N heads at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import DeviceError, InputError
from training.heads.assets import load_assets
from training.heads.background import draw_backgrounds
from training.heads.camera import Camera, frame, landmarks
from training.heads.develop import brightness_of, exposed, mean_by_head, printed, under_skin
from training.heads.eyes import Eyes, eye_albedo, shade_eyes, shade_wet
from training.heads.geometry import Body, Geometry
from training.heads.light import Rig, Shadows, cast_shadows, draw_rig, ggx, reflected
from training.heads.looks import Looks, looks_at
from training.heads.meta import describe
from training.heads.parts import Part, Wardrobe, scatter_points
from training.heads.people import Person, View
from training.heads.raster import Visibility, along_line
from training.heads.samples import Lighting, Samples, carry, carry_light
from training.heads.skin import Skin, SkinShader
from training.heads.strands import Strands, shade_strands
from training.heads.styling import Stylist

YOUNGEST, OLDEST = 5.0, 95.0


class Heads:
    """The renderer. It reads the asset folder once; everything then happens on `device`."""

    def __init__(self, assets: Path, device: torch.device | str = "cpu") -> None:
        """InputError if the folder is not there or not whole, DeviceError if the device is not."""
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError(
                f"The device {device} was asked for, but this machine has no CUDA GPU; give --device cpu."
            )
        self.geometry = Geometry(load_assets(assets, self.device))
        self.skin = SkinShader(self.geometry)
        self.wardrobe = Wardrobe(self.geometry)
        self.stylist = Stylist(self.geometry)
        self.occluders = scatter_points(self.geometry.neutral, self.skin.corners, 20_000)

    @torch.no_grad()
    def render(
        self, people: list[Person], ages: list[float], views: list[View], size: int = 256, supersample: int = 2
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        """Pictures (N, size, size, 3) uint8 RGB on the device, and what is true of each as JSON-ready dicts.

        Ages are years, 5 to 95. `supersample`: samples along a pixel's side. InputError for other ages or lengths.
        """
        if not len(people) == len(ages) == len(views):
            raise InputError(f"{len(people)} people, {len(ages)} ages and {len(views)} views do not make pictures.")
        if bad := [age for age in ages if not YOUNGEST <= age <= OLDEST]:
            raise InputError(f"An age of {bad[0]} years can't be rendered: give {YOUNGEST:.0f} to {OLDEST:.0f}.")
        return _Batch(self, people, [float(age) for age in ages], views, size, supersample).picture()


class _Batch:
    """One batch on its way through shapes, light, visibility, shading and film."""

    def __init__(
        self, heads: Heads, people: list[Person], ages: list[float], views: list[View], size: int, supersample: int
    ) -> None:
        self.heads, self.people, self.ages, self.views = heads, people, ages, views
        self.count, self.size, self.supersample = len(people), size, supersample
        self.side = size * supersample
        self.looks: list[Looks] = [looks_at(person, age) for person, age in zip(people, ages, strict=True)]
        self.body: Body = heads.geometry.body(people, ages, views)
        self.camera: Camera = frame(heads.geometry, self.body, views)
        self.rig: Rig = draw_rig(views, heads.device)
        self.skin_state = heads.skin.prepare(people, ages, views, self.looks)
        self.eyes = Eyes(heads.geometry, self.body, people, ages, views)
        self.parts: list[Part] = heads.wardrobe.dress(self.body, people, views)
        self.strands: list[Strands] = heads.stylist.grow(self.body, people, ages, self.looks, self.skin_state.hairline)

    def picture(self) -> tuple[Tensor, list[dict[str, Any]]]:
        shadows = self._shadows()
        image = draw_backgrounds(self.views, self.side, self.heads.device).permute(0, 2, 3, 1).reshape(-1, 3).clone()
        visibility = Visibility(self.count, self.side, self.heads.device)
        surfaces = [Part("skin", self.body.skin, None), Part("eyes", self.eyes.surface, None), *self.parts]
        starts = [visibility.add_triangles(part.triangles(self.camera, self.side)) for part in surfaces]
        lines = [each.lines(self.camera, self.side) for each in self.strands]
        starts += [visibility.add_lines(each) for each in lines]
        at, number = visibility.seen()
        head, middle = visibility.place(at)
        edges = [*starts, visibility.drawn]
        for index, part in enumerate(surfaces):
            mine = ((number >= edges[index]) & (number < edges[index + 1])).nonzero()[:, 0]
            samples = part.samples(at[mine], number[mine] - edges[index], middle[mine])
            self._shade_part(part, samples, shadows, image)
        for index, (each, drawn) in enumerate(zip(self.strands, lines, strict=True), start=len(surfaces)):
            mine = ((number >= edges[index]) & (number < edges[index + 1])).nonzero()[:, 0]
            share = along_line(drawn, number[mine] - edges[index], middle[mine])
            tag = drawn.tag[number[mine] - edges[index]]
            image[at[mine]] = shade_strands(each, tag, head[mine], share, shadows, self.camera, self.rig)
        return self._developed(image), self._meta()

    def _shadows(self) -> Shadows:
        """Depth maps of skin, clothes and hair, around a point in the head."""
        skin = self.body.skin.points
        points = [_at_points(skin, self.heads.skin.corners, *self.heads.occluders)]
        points += [each.occluders() for each in self.strands if each.casts]
        cloth = self.heads.wardrobe.occluders(self.parts, self.count)
        eyes = self.eyes.pupils.mean(1)
        centre = eyes + eyes.new_tensor([0.0, -0.5, -0.6])
        return cast_shadows(self.rig, centre, torch.cat([*points, cloth], 1))

    def _shade_part(self, part: Part, samples: Samples, shadows: Shadows, image: Tensor) -> None:
        # Points on a surface would shade themselves: their light is taken a little above it.
        surface = part.surface
        # Lips are thinner than the depth maps' cells: what is in the mouth is lit as if it lay farther out.
        bias = 0.25 if part.kind in ("teeth", "tongue") else 0.03
        lit = shadows.of(surface.heads).light(surface.points + 0.05 * surface.normals, surface.normals, bias)
        light = carry_light(part.surface, lit, samples)
        eye = self.camera.of(samples.head).towards(light.point)
        if part.kind == "skin":
            image[samples.at] = self._shade_skin(samples, light, eye)
        elif part.kind == "eyes":
            axis = carry(self.eyes.axes, part.surface.mesh.place[part.surface.mesh.faces], samples)
            colours, seeds, old = (value[samples.head] for value in (self.eyes.colours, self.eyes.seeds, self.eyes.old))
            albedo = eye_albedo(axis, colours, seeds, old)
            image[samples.at] = shade_eyes(albedo, light, eye, self.rig, samples.head)
        else:
            albedo = self.heads.wardrobe.albedo(part, samples, self.views)
            if part.kind in ("teeth", "tongue"):
                image[samples.at] = shade_wet(albedo, light, eye, self.rig, samples.head)
            else:
                image[samples.at] = albedo * reflected(light.sh, light.normal)

    def _shade_skin(self, samples: Samples, light: Lighting, eye: Tensor) -> Tensor:
        skin: Skin = self.heads.skin.shade(self.skin_state, self.body, samples, light.normal)
        matt = under_skin(reflected(light.sh, skin.matt), samples.at, self.count, self.side)
        glossy = 0.02 * reflected(light.sh, skin.glossy)
        power = self.rig.power()[samples.head]
        for k in range(power.shape[1]):
            towards = self.rig.towards[samples.head, k]
            broad = ggx(skin.glossy, towards, eye, skin.rough, 0.028)
            sharp = ggx(skin.glossy, towards, eye, skin.rough * 0.45, 0.028)
            shine = (0.72 * broad + 0.28 * sharp) * skin.gloss * light.lamps[:, k]
            glossy = glossy + shine[:, None] * power[:, k]
        colour = skin.albedo * matt + glossy
        self.level = mean_by_head(brightness_of(colour), skin.face, samples.head, self.count)[:, 0]
        self.white = mean_by_head(matt, skin.face, samples.head, self.count)
        return colour

    def _developed(self, image: Tensor) -> Tensor:
        images = image.view(self.count, self.side, self.side, 3).permute(0, 3, 1, 2)
        tone = torch.tensor([float(look.skin.mean()) for look in self.looks], device=image.device)
        exposure = torch.tensor([view.exposure for view in self.views], device=image.device)
        seeds = torch.tensor([view.seed for view in self.views], device=image.device)
        return printed(exposed(images, self.level, self.white, tone, exposure), self.supersample, seeds)

    def _meta(self) -> list[dict[str, Any]]:
        marks = landmarks(self.heads.geometry, self.body, self.camera, self.eyes.pupils) * self.size - 0.5
        rows = zip(self.people, self.ages, self.views, self.looks, marks.tolist(), strict=True)
        return [describe(*row, size=self.size) for row in rows]


def _at_points(points: Tensor, corners: Tensor, face: Tensor, shares: Tensor) -> Tensor:
    """(N, O, 3) places on faces (O,) at shares (O, 3) of their corners."""
    return sum(
        (points[:, corners[face, k]] * shares[:, k : k + 1] for k in range(3)), torch.zeros((), device=points.device)
    )
