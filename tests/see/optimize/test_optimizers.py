"""Optimizers: the rules uphill."""

import numpy as np
import pytest
import torch

from pellucid.see.optimize.optimizers import Adam, Normalized, PlainGradient, Power, optimizer_of
from pellucid.see.optimize.parametrizations import standardized
from pellucid.settings import PatternSettings


def test_power_falls_geometrically_from_first_to_last():
    """Rejects a linear fall, and one that never reaches its end."""
    rule = Power(steps=4, initial_step_size=100.0, final_step_size=0.1, momentum=0.0)
    points, gradient = torch.zeros(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    moved, _ = rule.step(points, gradient, torch.arange(4), rule.memory(points))
    sizes = moved.flatten(1).norm(dim=1) / standardized(gradient).flatten(1).norm(dim=1)
    np.testing.assert_allclose(sizes, [100, 10, 1, 0.1], rtol=1e-5)


def test_power_with_one_step_replaces_the_image():
    """Rejects a division by zero steps."""
    rule = Power(steps=1)
    points, gradient = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    moved, _ = rule.step(points, gradient, torch.zeros(2, dtype=torch.int64), rule.memory(points))
    torch.testing.assert_close(standardized(moved), standardized(gradient), atol=0.05, rtol=0)


def test_the_average_begins_with_the_first_direction():
    """Rejects an average that begins at zero, and one row's memory that is another's."""
    rule = Power(steps=10, momentum=0.25)
    points, gradient = torch.zeros(2, 1, 2, 2), torch.randn(2, 1, 2, 2)
    old = torch.randn(2, 1, 2, 2)
    _, memory = rule.step(points, gradient, torch.tensor([0, 3]), old)
    fresh = standardized(gradient)
    torch.testing.assert_close(memory[0], fresh[0])
    torch.testing.assert_close(memory[1], 0.75 * fresh[1] + 0.25 * old[1])


@pytest.mark.parametrize("rule", [Power(8, momentum=0.0), Power(40, momentum=0.0), Adam()])
def test_a_step_is_as_long_in_any_company(rule):
    """Rejects powers that are worked out for all images at once, which libraries round by how many there are."""
    points, gradient = torch.zeros(48, 1, 1, 3), torch.randn(48, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    step, memory = torch.arange(48) % 40, rule.memory(points)
    whole, _ = rule.step(points, gradient, step, memory)
    for begin in range(0, 48, 16):
        part = slice(begin, begin + 16)
        own, _ = rule.step(points[part], gradient[part], step[part], memory[part])
        assert torch.equal(own, whole[part])


def test_power_does_not_care_for_the_gradient_s_size():
    """Rejects a raw gradient: units differ by orders of magnitude."""
    rule = Power(steps=5)
    points, gradient = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 3, 3)
    step, memory = torch.tensor([2, 2]), rule.memory(points)
    one, _ = rule.step(points, gradient, step, memory)
    other, _ = rule.step(points, gradient * 1e-6, step, memory)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_normalized_steps_are_as_long_as_asked():
    """Rejects the 2-norm, whose step shrinks with the image's size, and a batch that shares its norm."""
    points = torch.zeros(3, 2, 4, 5)
    gradient = torch.randn(3, 2, 4, 5) * torch.tensor([1.0, 1e-3, 1e3]).view(3, 1, 1, 1)
    moved, _ = Normalized(0.01).step(points, gradient, torch.zeros(3, dtype=torch.int64), points)
    np.testing.assert_allclose(moved.square().mean((1, 2, 3)).sqrt(), [0.01] * 3, rtol=1e-5)


def test_without_a_gradient_a_point_stays():
    """Rejects NaN for a silent image, in either rule."""
    points = torch.randn(1, 1, 3, 3)
    for rule in (Power(steps=3), Normalized(), Adam(), PlainGradient()):
        moved, _ = rule.step(points, torch.zeros_like(points), torch.tensor([0]), rule.memory(points))
        assert torch.equal(moved, points)


def test_the_settings_name_the_rule():
    """Rejects a setting that is not passed on."""
    chosen = PatternSettings.of(optimizer="power", steps=7, initial_step_size=9.0, final_step_size=0.5, momentum=0.1)
    assert optimizer_of(chosen) == Power(7, 9.0, 0.5, 0.1)
    assert optimizer_of(PatternSettings.of(optimizer="normalized", learning_rate=0.02)) == Normalized(0.02)
    assert optimizer_of(PatternSettings.of(optimizer="normalized")) == Normalized(0.01)
    assert optimizer_of(PatternSettings.of(optimizer="adam")) == Adam(0.05)
    assert optimizer_of(PatternSettings.of(optimizer="gradient", learning_rate=0.5)) == PlainGradient(0.5)


def test_adam_is_pytorch_s_image_by_image():
    """Rejects a moment that is not corrected, one step count for the batch, and steps downhill."""
    stream = torch.Generator().manual_seed(0)
    begin = torch.randn(2, 1, 3, 4, generator=stream)
    parameter = begin.clone().requires_grad_(True)
    theirs = torch.optim.Adam([parameter], lr=0.05, maximize=True, eps=0)
    rule, points = Adam(0.05), begin
    memory = rule.memory(points)
    for step in range(6):
        gradient = torch.randn(2, 1, 3, 4, generator=stream)
        parameter.grad = gradient.clone()
        theirs.step()
        points, memory = rule.step(points, gradient, torch.tensor([step, step]), memory)
    torch.testing.assert_close(points, parameter.detach(), atol=1e-5, rtol=0)
    late, _ = rule.step(points, gradient, torch.tensor([6, 0]), memory)
    alone, _ = rule.step(points[1:], gradient[1:], torch.tensor([0]), memory[1:])
    assert torch.equal(late[1:], alone)


def test_the_bare_gradient_is_followed_as_it_is():
    """Rejects a normalized one."""
    points = torch.zeros(1, 1, 2, 2)
    gradient = torch.tensor([[[[4.0, 0.0], [-2.0, 1.0]]]])
    moved, _ = PlainGradient(0.1).step(points, gradient, torch.tensor([0]), PlainGradient().memory(points))
    torch.testing.assert_close(moved, gradient / 10)


def test_smoothing_falls_to_nothing_before_the_end():
    """Rejects rectifiers that are smooth to the last, so that nobody ascends the activation itself; and of others."""
    power = Power(8, initial_smoothing=3.0)
    assert power.smoothing(torch.tensor([0, 2, 6])).tolist() == [3.0, 2.0, 0.0]
    assert power.smoothing(torch.tensor([6, 7])) is None
    assert Power(8, initial_smoothing=0.0).smoothing(torch.tensor([0])) is None
    assert Normalized().smoothing(torch.tensor([0])) is None
