"""A sketch prior in the pipeline: with every scheduler, for every photo, and not at all at scale 0."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from conftest import picture, random_instruction
from PIL import Image
from priors import ByName, NegativePrior
from torch import Tensor

from oneshot_sketch import InputError, LearnedInstruction, OneShotSketchPipeline
from oneshot_sketch.images import grey, to_tensor
from oneshot_sketch.pipelines.sketch_prior import PriorGuidance

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDIM": ("DDIMScheduler", {"timestep_spacing": "leading"}),
    "DDIM, zero terminal SNR": ("DDIMScheduler", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    "DDPM": ("DDPMScheduler", {}),
    "PNDM": ("PNDMScheduler", {"skip_prk_steps": True, "timestep_spacing": "leading"}),
    "LCM": ("LCMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler, Karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "KDPM2": ("KDPM2DiscreteScheduler", {}),
    "LMS": ("LMSDiscreteScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "DPM++ 2M, Karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M, SDE": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "DPM++ single": ("DPMSolverSinglestepScheduler", {}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {}),
}
# Two are left out that are inexact without a prior too: one divides by zero, one adds v of several timesteps as one's.
COMBINED = [
    (name, kind)
    for name in SCHEDULERS
    for kind in ("epsilon", "v_prediction")
    if (name, kind) not in (("DDIM, zero terminal SNR", "epsilon"), ("PNDM", "v_prediction"))
]
STEPS = 4


def swapped(pipe: OneShotSketchPipeline, name: str, kind: str = "epsilon") -> OneShotSketchPipeline:
    """The pipeline with another scheduler, as users swap them."""
    family, options = SCHEDULERS[name]
    pipe.scheduler = getattr(diffusers, family).from_config(pipe.scheduler.config, prediction_type=kind, **options)
    return pipe


def latents_of(pipe: OneShotSketchPipeline, photos: list[Image.Image]) -> Tensor:
    """(B, C, h, w), what `NegativePrior` says the clean latents are."""
    with torch.no_grad():
        encoded = pipe.vae.encode(-grey(to_tensor(photos)).expand(-1, 3, -1, -1))
    return encoded.latent_dist.mode() * pipe.vae.config.scaling_factor


def drawn(pipe: OneShotSketchPipeline, photos: Any, **arguments: Any) -> Tensor:
    """(B, C, h, w) latents."""
    given = {"prompt": "ink", "image": photos, "num_inference_steps": STEPS, "output_type": "latent"} | arguments
    return pipe(**{"generator": torch.Generator().manual_seed(0)} | given).images  # type: ignore[return-value]


@pytest.fixture
def guided(tiny_pipe: OneShotSketchPipeline) -> OneShotSketchPipeline:
    return tiny_pipe.load_sketch_prior(NegativePrior())


# ── every scheduler ──


@pytest.mark.parametrize(("name", "kind"), COMBINED)
def test_a_prior_that_counts_for_everything_is_what_is_drawn(
    guided: OneShotSketchPipeline, photo: Image.Image, name: str, kind: str
) -> None:
    """Only so if the level of noise and the scale of the samples are the scheduler's own at every step."""
    swapped(guided, name, kind)
    found = drawn(guided, photo, sketch_prior_scale=1e9, guidance_scale=7.5)
    noise_left = 0.03 if name.startswith(("DDIM", "PNDM", "DEIS")) else 1e-3  # those may end at a timestep with √(1 − ᾱ) = 0.03
    assert (found - latents_of(guided, [photo])).abs().mean() < noise_left


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scale_0_is_no_prior_to_the_bit(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, name: str) -> None:
    swapped(tiny_pipe, name, "v_prediction")
    without = drawn(tiny_pipe, photo)
    prior = NegativePrior()
    tiny_pipe.load_sketch_prior(prior)
    assert torch.equal(drawn(tiny_pipe, photo, sketch_prior_scale=0.0), without)
    assert not prior.calls, "and costs nothing"
    assert not torch.equal(drawn(tiny_pipe, photo, sketch_prior_scale=1.0), without)
    drawn(tiny_pipe, photo, sketch_prior_init=0.5)
    assert torch.equal(drawn(tiny_pipe, photo), without), "nothing of a guided call stays in the scheduler"
    tiny_pipe.load_sketch_prior(NegativePrior(trust=0.0))
    assert torch.equal(drawn(tiny_pipe, photo, sketch_prior_scale=1.0), without), "what is not trusted does not count"


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_initial_latent_is_the_priors_noised_to_the_first_step_that_is_left(
    guided: OneShotSketchPipeline, photo: Image.Image, name: str
) -> None:
    """As the network sees it: scaled to unit variance, and told the right timestep."""
    swapped(guided, name, "v_prediction")
    seen: list[tuple[Tensor, float]] = []
    hook = guided.unet.register_forward_pre_hook(lambda _, given: seen.append((given[0][:1, :4], float(given[1]))))
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    drawn(guided, photo, latents=noise)
    everywhere = [t for _, t in seen]
    seen.clear()
    drawn(guided, photo, latents=noise, sketch_prior_init=0.5)
    hook.remove()
    assert [t for _, t in seen] == everywhere[len(everywhere) - len(seen) :]
    assert len(seen) == pytest.approx(len(everywhere) / 2, abs=1)
    first, t = seen[0]
    prior = latents_of(guided, [photo])
    # x_t = √ᾱ p + √(1 − ᾱ) ε: both factors found from the picture itself, and ᾱ as training has it at that timestep
    found = torch.linalg.lstsq(torch.stack([prior.flatten(), noise.flatten()], 1), first.flatten()[:, None])
    alpha, sigma = found.solution.flatten().tolist()
    assert alpha**2 + sigma**2 == pytest.approx(1, abs=1e-4)
    assert float((alpha * prior + sigma * noise - first).abs().max()) < 1e-4
    cumprod = guided.scheduler.alphas_cumprod
    assert alpha == pytest.approx(float(np.interp(t, np.arange(len(cumprod)), cumprod.sqrt())), abs=5e-3)


# ── every photo ──


def test_every_copy_of_every_photo_has_its_own_photos_prior(guided: OneShotSketchPipeline) -> None:
    photos = [picture(seed=1), picture(seed=2)]
    expected = latents_of(guided, photos)
    generators = [torch.Generator().manual_seed(k) for k in range(4)]
    found = drawn(guided, photos, sketch_prior_scale=1e9, num_images_per_prompt=2, generator=generators)
    torch.testing.assert_close(found, expected.repeat_interleave(2, 0), atol=1e-3, rtol=0)
    found = drawn(guided, photos, sketch_prior_scale=1e9, num_images_per_prompt=2)
    torch.testing.assert_close(found, expected.repeat_interleave(2, 0), atol=1e-3, rtol=0)


def test_the_prior_draws_and_is_encoded_once_a_photo(guided: OneShotSketchPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, encode, sizes = guided.sketch_prior, guided.vae.encode, []
    assert isinstance(prior, NegativePrior)
    monkeypatch.setattr(guided.vae, "encode", lambda x, **kw: (sizes.append(len(x)), encode(x, **kw))[1])
    drawn(guided, [picture(seed=1), picture(seed=2)], sketch_prior_scale=1.0, num_images_per_prompt=3)
    assert prior.calls == [2]
    assert sizes == [2, 6], "the prior sketches, and upstream the photos of every image"


def test_the_prior_sees_the_photos_as_they_were_given_and_with_gradients(guided: OneShotSketchPipeline) -> None:
    prior = guided.sketch_prior
    assert isinstance(prior, NegativePrior)
    with torch.inference_mode():
        drawn(guided, [picture(32, 32), picture(64, 64)], sketch_prior_scale=1.0)
    assert prior.sizes == [(32, 32), (64, 64)]
    assert prior.gradients == [True]


def test_trust_says_where_the_prior_counts(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    without = drawn(tiny_pipe, photo)
    tiny_pipe.load_sketch_prior(NegativePrior(half=True))
    found = drawn(tiny_pipe, photo, sketch_prior_scale=1e9)
    prior = latents_of(tiny_pipe, [photo])
    assert (found - prior)[..., :8].abs().max() < 1e-3
    assert (found - prior)[..., 8:].abs().mean() > 0.1
    shares = []
    for trust in (0.1, 0.5, 1.0):
        tiny_pipe.load_sketch_prior(NegativePrior(trust=trust))
        shares.append(float((drawn(tiny_pipe, photo, sketch_prior_scale=1.0) - without).abs().mean()))
    assert 0 < shares[0] < shares[1] < shares[2]


def test_where_the_prior_is_not_trusted_the_initial_latent_is_the_photos_greys(
    tiny_pipe: OneShotSketchPipeline, photo: Image.Image
) -> None:
    swapped(tiny_pipe, "DDIM").load_sketch_prior(NegativePrior(half=True))
    seen: list[Tensor] = []
    hook = tiny_pipe.unet.register_forward_pre_hook(lambda _, given: seen.append(given[0][:1, :4]))
    drawn(tiny_pipe, photo, latents=torch.zeros(1, 4, 16, 16), sketch_prior_init=0.9)
    hook.remove()
    negative, greys = latents_of(tiny_pipe, [photo]), latents_of(tiny_pipe, [Image.fromarray(255 - np.asarray(photo))])
    clean = seen[0] / (seen[0].flatten() @ seen[0].flatten()).sqrt()
    expected = torch.cat([negative[..., :8], greys[..., 8:]], -1)
    torch.testing.assert_close(clean, expected / (expected.flatten() @ expected.flatten()).sqrt(), atol=1e-3, rtol=0)


def test_given_prior_sketches_stand_for_the_loaded_prior(guided: OneShotSketchPipeline, photo: Image.Image) -> None:
    by_prior = drawn(guided, photo, sketch_prior_scale=1.0)
    made = guided.sketch_prior.sketch(photo)  # type: ignore[union-attr]
    guided.unload_sketch_prior()
    assert torch.equal(drawn(guided, photo, sketch_prior_scale=1.0, prior_sketch=made), by_prior)
    with pytest.raises(InputError, match="1 prior sketches for 2 photos"):
        drawn(guided, [photo, photo], sketch_prior_scale=1.0, prior_sketch=made)


# ── beside everything else ──


def test_start_and_stop_are_fractions_of_the_schedule(guided: OneShotSketchPipeline, photo: Image.Image) -> None:
    def path(**arguments: Any) -> list[Tensor]:
        kept: list[Tensor] = []

        def keep(pipe: Any, step: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            kept.append(tensors["latents"].clone())
            return tensors

        drawn(guided, photo, callback_on_step_end=keep, **arguments)
        return kept

    without, throughout, late, early = (
        path(),
        path(sketch_prior_scale=1.0),
        path(sketch_prior_scale=1.0, sketch_prior_start=0.5),
        path(sketch_prior_scale=1.0, sketch_prior_stop=0.5),
    )
    assert [torch.equal(a, b) for a, b in zip(late, without, strict=True)] == [True] * 2 + [False] * 2
    assert [torch.equal(a, b) for a, b in zip(early, throughout, strict=True)] == [True] * 2 + [False] * 2


@pytest.mark.parametrize("init", [0.0, 0.5])
def test_callbacks_change_what_is_corrected(guided: OneShotSketchPipeline, photo: Image.Image, init: float) -> None:
    def blank(pipe: Any, step: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        assert type(pipe.scheduler.config) is type(guided.scheduler.config)
        return {"latents": torch.zeros_like(tensors["latents"])}

    given = {"sketch_prior_scale": 1.0, "sketch_prior_init": init}
    assert not drawn(guided, photo, callback_on_step_end=blank, **given).any()
    assert drawn(guided, photo, **given).any()


@pytest.mark.parametrize("scales", [(1.0, 1.0), (7.5, 1.5)])
def test_with_and_without_guidance_by_instruction_and_text(
    guided: OneShotSketchPipeline, instruction: LearnedInstruction, photo: Image.Image, scales: tuple[float, float]
) -> None:
    guided.load_instruction(instruction)
    given = {"prompt": None, "text": "hat", "guidance_scale": scales[0], "image_guidance_scale": scales[1]}
    apart = float((drawn(guided, photo, **given) - latents_of(guided, [photo])).abs().mean())
    near = float((drawn(guided, photo, sketch_prior_scale=3.0, **given) - latents_of(guided, [photo])).abs().mean())
    assert near < apart


def test_in_half_precision_too(guided: OneShotSketchPipeline, photo: Image.Image) -> None:
    guided.to(torch.bfloat16)
    found = drawn(guided, photo, sketch_prior_scale=1e9, sketch_prior_init=0.5)
    assert found.dtype == torch.bfloat16
    assert (found.float() - latents_of(guided.to(torch.float32), [photo])).abs().mean() < 0.05


# ── what is said of it ──


def test_the_output_says_what_guided_it(guided: OneShotSketchPipeline, photo: Image.Image, tmp_path: Path) -> None:
    output = guided("ink", photo, num_inference_steps=2, sketch_prior_scale=np.float32(2), sketch_prior_init=0.5)  # type: ignore[arg-type]
    assert output.prior is not None
    error = to_tensor(photo).abs().mean().item()
    assert output.settings["inversion_error"] == pytest.approx([error])
    expected = PriorGuidance(sketch_prior_scale=2, sketch_prior_init=0.5).prior_arguments
    assert expected.items() <= output.settings.items()
    torch.testing.assert_close(output.prior.sketch, -grey(to_tensor(photo)))
    output.save(tmp_path / "sketch.png")
    plain = guided("ink", photo, num_inference_steps=2)
    assert plain.prior is None
    assert not [key for key in plain.settings if "prior" in key or "inversion" in key]
    images, _ = guided("ink", photo, num_inference_steps=2, sketch_prior_scale=1.0, return_dict=False)  # type: ignore[misc]
    assert len(images) == 1


# ── loading and leaving ──


def test_a_prior_is_loaded_by_name(tiny_pipe: OneShotSketchPipeline, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    ByName.install(monkeypatch)
    assert tiny_pipe.load_sketch_prior("mini") is tiny_pipe
    assert tiny_pipe.sketch_prior is not None
    assert tiny_pipe.sketch_prior.fingerprint == "mini"
    drawn(tiny_pipe, photo, sketch_prior_scale=1.0)
    tiny_pipe.unload_sketch_prior()
    assert tiny_pipe.sketch_prior is None


def test_a_call_leaves_the_pipeline_as_it_was(guided: OneShotSketchPipeline, photo: Image.Image) -> None:
    scheduler, config = guided.scheduler, dict(guided.config)

    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        raise KeyboardInterrupt

    for arguments in ({}, {"callback_on_step_end": stop}):
        with suppress(KeyboardInterrupt):
            drawn(guided, photo, sketch_prior_scale=1.0, sketch_prior_init=0.3, **arguments)
        assert guided.scheduler is scheduler
        assert dict(guided.config) == config
        assert "step" not in vars(scheduler)


def test_the_prior_is_not_saved_with_the_pipeline(guided: OneShotSketchPipeline, tmp_path: Path) -> None:
    guided.load_instruction(random_instruction())
    guided.save_pretrained(tmp_path)
    assert OneShotSketchPipeline.from_pretrained(tmp_path).sketch_prior is None


# ── what is refused ──


def test_no_prior_is_refused(tiny_pipe: OneShotSketchPipeline, photo: Image.Image) -> None:
    for arguments in ({"sketch_prior_scale": 1.0}, {"sketch_prior_init": 0.5}):
        with pytest.raises(InputError, match=r"load_sketch_prior\(\) first"):
            drawn(tiny_pipe, photo, **arguments)


def test_no_face_is_the_priors_own_sentence(guided: OneShotSketchPipeline, photo: Image.Image) -> None:
    with pytest.raises(InputError, match="no face in the photo"):
        drawn(guided, Image.new("RGB", (32, 32)), sketch_prior_scale=1.0)
    assert drawn(guided, Image.new("RGB", (32, 32))).any(), "which nobody asks without a scale"


@pytest.mark.parametrize("what", [3, None, SimpleNamespace(sketch=None)])
def test_what_is_no_prior_is_refused(tiny_pipe: OneShotSketchPipeline, what: Any) -> None:
    with pytest.raises(InputError, match="is no sketch prior"):
        tiny_pipe.load_sketch_prior(what)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"sketch_prior_scale": -1.0}, "sketch_prior_scale"),
        ({"sketch_prior_scale": float("nan")}, "sketch_prior_scale"),
        ({"sketch_prior_scale": float("inf")}, "sketch_prior_scale"),
        ({"sketch_prior_start": 0.5, "sketch_prior_stop": 0.5}, "sketch_prior_start"),
        ({"sketch_prior_start": -0.1}, "sketch_prior_start"),
        ({"sketch_prior_stop": 1.1}, "sketch_prior_stop"),
        ({"sketch_prior_init": 1.0}, "sketch_prior_init"),
        ({"sketch_prior_init": float("nan")}, "sketch_prior_init"),
    ],
)
def test_nonsense_is_refused_by_name(
    guided: OneShotSketchPipeline, photo: Image.Image, arguments: dict[str, float], name: str
) -> None:
    with pytest.raises(InputError, match=name):
        drawn(guided, photo, **arguments)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("FlowMatchEulerDiscreteScheduler", {}),
        ("EDMEulerScheduler", {}),
        ("DDIMScheduler", {"prediction_type": "sample"}),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}),
    ],
)
def test_schedulers_of_another_kind_are_refused(
    guided: OneShotSketchPipeline, photo: Image.Image, family: str, options: dict[str, Any]
) -> None:
    guided.scheduler = getattr(diffusers, family)(**options)
    with pytest.raises(InputError, match=f"{family} .* cannot be guided"):
        drawn(guided, photo, sketch_prior_scale=1.0)


def test_settings_are_frozen_and_checked() -> None:
    assert not PriorGuidance().uses_prior
    with pytest.raises(InputError, match="sketch_prior_init"):
        replace(PriorGuidance(), sketch_prior_init=-1)
