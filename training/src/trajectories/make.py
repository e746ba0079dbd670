"""Writes `of_pytorch.json` beside this file: where fifty steps of PyTorch's optimizers and schedules lead.

    pip install torch transformers
    python make.py

Written with torch 2.15.0 and transformers 5.23.0. Lion, which PyTorch lacks, and sharpness-aware minimization are written out in tensors
of PyTorch after Chen et al. (2023) and Foret et al. (2021).
"""

import json
import math
import pathlib
import warnings

import torch
import transformers

warnings.filterwarnings("ignore")
STEPS = 50


class Lion(torch.optim.Optimizer):
    def __init__(self, groups, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            first, second = group["betas"]
            for weight in group["params"]:
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(group["lr"] * torch.sign(first * mean + (1 - first) * weight.grad))
                mean.mul_(second).add_(weight.grad, alpha=1 - second)


def gradient(weight, first, step, pull):
    """Of the elements from `first` on; with `pull`, that of a loss which bends with the weights."""
    at = torch.arange(first, first + weight.numel(), dtype=torch.float64)
    own = (1 + 0.1 * at) * torch.sin(0.7 * at + 0.3 * step)
    return own.float().reshape(weight.shape) + pull * weight.detach()


def ends(make, rho=None, adaptive=False):
    """A matrix of twelve numbers that decays and a vector of four that does not, after fifty steps."""
    matrix = torch.nn.Parameter(torch.tensor([math.cos(i) for i in range(12)]).reshape(3, 4))
    vector = torch.nn.Parameter(torch.tensor([math.cos(i) for i in range(12, 16)]))
    optimizer = make([{"params": [matrix]}, {"params": [vector], "weight_decay": 0.0}])
    both = [(matrix, 0), (vector, 12)]
    for step in range(STEPS):
        pull = 0.0 if rho is None else 0.5
        grads = [gradient(weight, first, step, pull) for weight, first in both]
        if rho is not None:
            scaled = [g * weight.detach().abs() if adaptive else g for g, (weight, _) in zip(grads, both)]
            norm = torch.sqrt(sum((g.double() ** 2).sum() for g in scaled)).item()
            ways = [g * (weight.detach() ** 2 if adaptive else 1.0) * (rho / (norm + 1e-12)) for g, (weight, _) in zip(grads, both)]
            uphill = [weight.detach() + way for way, (weight, _) in zip(ways, both)]
            grads = [gradient(there, first, step, pull) for there, (_, first) in zip(uphill, both)]
        for (weight, _), grad in zip(both, grads):
            weight.grad = grad
        optimizer.step()
    return [float(f"{value:.8g}") for weight, _ in both for value in weight.detach().flatten().tolist()]


def factors(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = make(optimizer), []
    for _ in range(STEPS):
        found.append(float(f"{optimizer.param_groups[0]['lr']:.10g}"))
        optimizer.step()
        schedule.step()
    return found


class Seldom:
    """A schedule that is stepped once in so many steps."""

    def __init__(self, schedule, every):
        self.schedule, self.every, self.steps = schedule, every, 0

    def step(self):
        self.steps += 1
        if self.steps % self.every == 0:
            self.schedule.step()


def figures(better):
    """Of fifty evaluations: less and less of a gain, with ups and downs."""
    found = [1 / (1 + 0.1 * t) + 0.1 * math.sin(1.7 * t) for t in range(STEPS)]
    return [round(value if better == "lower" else 1.2 - value, 6) for value in found]


def reduced(make, better):
    """The rate after each evaluation, from 0.1 on."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule, found = make(optimizer), []
    for figure in figures(better):
        schedule.step(figure)
        found.append(float(f"{optimizer.param_groups[0]['lr']:.10g}"))
    return found


def warmed(optimizer, warmup, behind):
    schedules = torch.optim.lr_scheduler
    rise = schedules.LinearLR(optimizer, start_factor=1 / warmup, end_factor=1.0, total_iters=warmup - 1)
    return schedules.SequentialLR(optimizer, [rise, behind], milestones=[warmup])


def main():
    adamw, sgd, schedules = torch.optim.AdamW, torch.optim.SGD, torch.optim.lr_scheduler
    optimizers = [
        ({"adamw": {"weight_decay": 0.1}}, 0.05, lambda groups: adamw(groups, lr=0.05, weight_decay=0.1)),
        ({"adamw": {"beta1": 0.8, "beta2": 0.9, "epsilon": 1e-6, "weight_decay": 0}}, 0.02,
         lambda groups: adamw(groups, lr=0.02, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.0)),
        ({"sgd": {"momentum": 0.0, "weight_decay": 0.1}}, 0.05, lambda groups: sgd(groups, lr=0.05, weight_decay=0.1)),
        ({"sgd": {"momentum": 0.9}}, 0.01, lambda groups: sgd(groups, lr=0.01, momentum=0.9)),
        ({"sgd": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}}, 0.02,
         lambda groups: sgd(groups, lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.1)),
        ({"lion": {}}, 0.01, lambda groups: Lion(groups, lr=0.01)),
        ({"lion": {"beta1": 0.95, "beta2": 0.98, "weight_decay": 0.1}}, 0.02,
         lambda groups: Lion(groups, lr=0.02, betas=(0.95, 0.98), weight_decay=0.1)),
    ]
    uphill = [
        ({"sgd": {"momentum": 0.9}}, 0.01, 0.05, False, lambda groups: sgd(groups, lr=0.01, momentum=0.9)),
        ({"adamw": {"weight_decay": 0.1}}, 0.02, 0.5, False, lambda groups: adamw(groups, lr=0.02, weight_decay=0.1)),
        ({"sgd": {"momentum": 0.9, "weight_decay": 0.1}}, 0.01, 1.0, True, lambda groups: sgd(groups, lr=0.01, momentum=0.9, weight_decay=0.1)),
    ]
    ways = [
        # choice, the first step that is compared, the schedule
        ({"constant": {"warmup": "5 steps"}}, 0, lambda o: warmed(o, 5, schedules.ConstantLR(o, factor=1.0))),
        ({"linear": {"warmup": "5 steps"}}, 0, lambda o: warmed(o, 5, schedules.LinearLR(o, 1.0, 0.0, total_iters=45))),
        ({"linear": {"end": 0.1}}, 0, lambda o: schedules.LinearLR(o, 1.0, 0.1, total_iters=50)),
        ({"cosine": {"warmup": "10 steps"}}, 0, lambda o: warmed(o, 10, schedules.CosineAnnealingLR(o, T_max=40))),
        ({"cosine": {}}, 0, lambda o: schedules.CosineAnnealingLR(o, T_max=50)),
        # the warm-up of transformers is one step behind
        ({"inverse_square_root": {"warmup": "8 steps"}}, 8, lambda o: transformers.get_inverse_sqrt_schedule(o, 8)),
        ({"warmup_stable_decay": {"warmup": "5 steps", "decay": "15 steps", "shape": "cosine"}}, 5,
         lambda o: transformers.get_wsd_schedule(o, num_warmup_steps=5, num_decay_steps=15, num_training_steps=50, decay_type="cosine")),
        ({"warmup_stable_decay": {"warmup": "5 steps", "decay": "15 steps", "shape": "linear"}}, 5,
         lambda o: transformers.get_wsd_schedule(o, num_warmup_steps=5, num_decay_steps=15, num_training_steps=50, decay_type="linear")),
        ({"cosine_restarts": {"period": "7 steps", "growth": 2, "end": 0.1}}, 0,
         lambda o: schedules.CosineAnnealingWarmRestarts(o, T_0=7, T_mult=2, eta_min=0.1)),
        ({"cosine_restarts": {"period": 0.2, "growth": 1, "end": 0.0}}, 0, lambda o: schedules.CosineAnnealingWarmRestarts(o, T_0=10)),
        ({"one_cycle": {}}, 0, lambda o: schedules.OneCycleLR(o, max_lr=1.0, total_steps=50, cycle_momentum=False)),
        ({"one_cycle": {"warmup": 0.45, "start": 0.1, "end": 0.005, "annealing": "linear"}}, 0,
         lambda o: schedules.OneCycleLR(o, max_lr=1.0, total_steps=50, pct_start=0.45, anneal_strategy="linear", cycle_momentum=False,
                                        div_factor=10, final_div_factor=20)),
        ({"polynomial": {"power": 0.9}}, 0, lambda o: schedules.PolynomialLR(o, total_iters=50, power=0.9)),
        ({"polynomial": {"power": 3, "warmup": "5 steps"}}, 0, lambda o: warmed(o, 5, schedules.PolynomialLR(o, total_iters=45, power=3))),
        ({"polynomial": {"power": 2, "end": 0.1, "warmup": "6 steps"}}, 6,
         lambda o: transformers.get_polynomial_decay_schedule_with_warmup(o, 6, 50, lr_end=0.1, power=2)),
        ({"exponential": {"gamma": 0.93, "every": "1 step"}}, 0, lambda o: schedules.ExponentialLR(o, gamma=0.93)),
        ({"exponential": {"gamma": 0.6, "every": "7 steps", "staircase": True}}, 0, lambda o: Seldom(schedules.ExponentialLR(o, gamma=0.6), 7)),
        ({"step": {"every": "8 steps", "gamma": 0.5}}, 0, lambda o: schedules.StepLR(o, step_size=8, gamma=0.5)),
        ({"step": {"every": "0.5 epochs", "gamma": 0.3, "warmup": "4 steps"}}, 0,
         lambda o: warmed(o, 4, schedules.StepLR(o, step_size=13, gamma=0.3))),
        ({"multi_step": {"milestones": ["11 steps", 0.5, "1.8 epochs"], "gamma": 0.4}}, 0,
         lambda o: schedules.MultiStepLR(o, milestones=[11, 25, 45], gamma=0.4)),
    ]
    plateau = schedules.ReduceLROnPlateau
    plateaus = [
        # choice, which way is better, the schedule
        ({"factor": 0.5, "patience": 1}, "lower", lambda o: plateau(o, factor=0.5, patience=1)),
        ({"factor": 0.5, "patience": 2, "cooldown": 3, "threshold": 0.03}, "higher",
         lambda o: plateau(o, mode="max", factor=0.5, patience=2, cooldown=3, threshold=0.03)),
        ({"factor": 0.3, "patience": 2, "threshold": 0.02, "threshold_mode": "absolute", "min_learning_rate": 0.004}, "lower",
         lambda o: plateau(o, factor=0.3, patience=2, threshold=0.02, threshold_mode="abs", min_lr=0.004)),
        ({"factor": 0.7, "patience": 0, "threshold": 0.05}, "higher", lambda o: plateau(o, mode="max", factor=0.7, patience=0, threshold=0.05)),
    ]
    found = {
        "optimizers": [{"choice": choice, "rate": rate, "ends": ends(make)} for choice, rate, make in optimizers],
        "sharpness_aware": [
            {"choice": choice, "rate": rate, "rho": rho, "adaptive": adaptive, "ends": ends(make, rho, adaptive)}
            for choice, rate, rho, adaptive, make in uphill
        ],
        "schedules": [{"choice": choice, "from": first, "factors": factors(make)} for choice, first, make in ways],
        "plateaus": [
            {"choice": {"reduce_on_plateau": options}, "better": better, "figures": figures(better), "rates": reduced(make, better)}
            for options, better, make in plateaus
        ],
    }
    path = pathlib.Path(__file__).parent / "of_pytorch.json"
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
