"""What the random views of an image are: settings only, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from algos.check_ranges import LEAST, MOST
from algos.idle_settings import Idle
from pipelines.errors import UserError

KERNEL = 3  # px that the smallest blur looks at, and RandAugment's sharpness
WHITE = (255, 255, 255)  # RGB, 0 to 255


def check_background(background: Sequence[int], key: str) -> None:
    """Refuse what is no colour.

    Raises:
        UserError: naming the key.
    """
    if len(background) != 3 or not all(isinstance(part, int) and 0 <= part <= 255 for part in background):
        raise UserError(f"{key} is {list(background)}; give red, green and blue from 0 to 255, for example [255, 255, 255]")


@dataclass(frozen=True)
class ViewConfig:
    """One random view of an image, or several alike.

    Attributes:
        size: px of the square output.
        scale: range of the crop's share of the image's area.
        repeat: how many views are made by this rule.
        flip: probability of a horizontal flip.
        jitter: largest change of brightness, contrast, saturation and hue; no factor of the first three is below 0.
        jitter_p: probability of the colour jitter.
        gray_p: probability of grey.
        blur_p: probability of a Gaussian blur.
        blur_sigma: range of its sigma in px.
        solarize_p: probability of inverting the bright half.
        pad: px; above 0 the whole image is padded by its mirror image and a square of `size` cut out of it, instead of a crop
            by `scale` (the weak view of CIFAR is size 32, pad 4).
        randaugment: operations of RandAugment that an image gets, each with probability one half; 0 for none.
        magnitude: largest strength of those operations, of 10.
        cutout: side of a square that is greyed out, as a share of `size`.
    """

    idle: ClassVar[tuple[Idle, ...]] = (
        Idle(("scale",), {"pad": lambda pad: not pad}, "set pad to 0"),
        Idle(("jitter_p",), {"jitter": any}, "give jitter strengths"),
        Idle(("blur_sigma",), {"blur_p": bool}, "give blur_p"),
        Idle(("magnitude",), {"randaugment": bool}, "give randaugment its operations"),
    )

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    repeat: int = 1
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_p: float = 0.8
    gray_p: float = 0.0
    blur_p: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize_p: float = 0.0
    pad: int = 0
    randaugment: int = 0
    magnitude: float = 10.0
    cutout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range, naming the key."""
        if self.size < 1 or self.repeat < 1:
            raise UserError(f"a view has size {self.size} and repeat {self.repeat}; both must be at least 1")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise UserError(f"a view's scale is {list(self.scale)}; give a range within (0, 1]")
        for key in ("flip", "jitter_p", "gray_p", "blur_p", "solarize_p"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"a view's {key} is {getattr(self, key)}; a probability lies in [0, 1]")
        if not all(0 <= strength <= MOST for strength in self.jitter) or self.jitter[3] > 0.5:
            raise UserError(f"a view's jitter is {list(self.jitter)}; give strengths from 0 to {MOST:g}, hue's at most 0.5")
        if self.pad < 0 or self.randaugment < 0:
            raise UserError(f"a view has pad {self.pad} and randaugment {self.randaugment}; neither may be negative")
        if not 0 < self.magnitude <= 10 or not 0 <= self.cutout < 1:
            raise UserError(
                f"a view has magnitude {self.magnitude} and cutout {self.cutout}; give (0, 10] and a share below 1 of the side"
            )
        if self.size < KERNEL and (self.randaugment or self.blur_p):
            raise UserError(f"a view has size {self.size}, and blur and RandAugment need {KERNEL} px; give more px, or neither")
        if self.pad >= self.size:
            raise UserError(f"a view has pad {self.pad} of size {self.size}; a mirror image is no larger than the image")
        if not LEAST <= self.blur_sigma[0] <= self.blur_sigma[1] <= MOST:
            raise UserError(f"a view's blur_sigma is {list(self.blur_sigma)}; give a range of {LEAST:g} to {MOST:g} px")


@dataclass(frozen=True)
class Views:
    """The rules of all views of an image: large ones, then small crops, each repeated as its rule says.

    Attributes:
        large: one or two views, as [{size: 224, scale: [0.08, 1.0], ...}].
        small: further crops of another size, likewise.
    """

    large: list[ViewConfig]
    small: list[ViewConfig] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse views that no method can use."""
        if self.num_large not in (1, 2):
            raise UserError(
                f"views.large makes {self.num_large} views; one or two are supported, further ones belong in views.small"
            )
        if len({view.size for view in self.large}) > 1 or len({view.size for view in self.small}) > 1:
            raise UserError("views of one group differ in size; all of views.large must share one size, and all of views.small")

    @property
    def flat(self) -> list[ViewConfig]:
        """One rule per view."""
        return [view for view in [*self.large, *self.small] for _ in range(view.repeat)]

    @property
    def num_large(self) -> int:
        """Number of large views."""
        return sum(view.repeat for view in self.large)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, of pixels in [0, 1]; ImageNet's by default, as torchvision and timm expect.

    Attributes:
        mean: of each channel.
        std: of each channel.
    """

    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])

    def __post_init__(self) -> None:
        """Refuse what is not three channels, or would divide by nothing."""
        finite = all(abs(mean) <= MOST for mean in self.mean) and all(LEAST <= std <= MOST for std in self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not finite:
            raise UserError(
                f"normalization has mean {list(self.mean)} and std {list(self.std)}; give three numbers each, "
                f"no larger than {MOST:g}, and std of at least {LEAST:g}"
            )
