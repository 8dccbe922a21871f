"""Energy, money and carbon: units by hand, limits and what must only ever grow."""

from typing import Any

import numpy as np
import pytest
from tests.cost.memory_cases import machine

from irongrid.cost.columns import StepTime
from irongrid.cost.energy import (
    PowerCoefficients,
    device_watts,
    energy_j_per_step,
    load_of,
    power_watts,
)
from irongrid.cost.money import co2_g_per_step, usd_per_step

SHARES = PowerCoefficients(waiting_share=0.1, busy_share=0.9, moving_load=0.5)
# From 60 W idle to 400 W: waiting draws 94 W, computing 366 W.
DEVICE = machine(peak_watts=400.0, idle_watts=60.0, power_exponent=1.0)
NAMES = ("compute", "tp", "cp", "ep", "pp", "dp", "bubble", "optimizer", "offload", "overhead")


def step(**parts: float) -> StepTime:
    columns = {name: np.array([parts.get(name, 0.0)]) for name in NAMES}
    total = np.asarray(sum(columns.values()))
    return StepTime(
        p50_s=total, p90_s=total, parts_s=columns, model_flops=total, hardware_flops=total
    )


def joules(one: StepTime, devices: int = 1, **site: Any) -> float:
    return float(energy_j_per_step(one, DEVICE, devices, SHARES, **site)[0])


def test_a_second_of_computing_takes_what_a_busy_device_draws() -> None:
    assert joules(step(compute=1.0)) == pytest.approx(366)


def test_a_second_of_waiting_takes_more_than_idle_and_far_less_than_computing() -> None:
    for wait in ("bubble", "overhead", "pp", "offload"):
        assert joules(step(**{wait: 1.0})) == pytest.approx(94)


def test_moving_data_draws_half_way_between_waiting_and_computing() -> None:
    for part in ("tp", "cp", "ep", "dp", "optimizer"):
        assert joules(step(**{part: 1.0})) == pytest.approx((94 + 366) / 2)


def test_with_a_linear_device_each_part_takes_its_own_energy() -> None:
    together = joules(step(compute=3.0, dp=2.0, bubble=1.0))

    assert together == pytest.approx(3 * 366 + 2 * 230 + 1 * 94)


def test_the_building_pays_for_nodes_and_cooling_too() -> None:
    # 16 devices in nodes of 8: (16 x 366 + 2 x 1600) W for 2 s, times 1.25.
    total = joules(step(compute=2.0), devices=16, node_watts=1600.0, pue=1.25)

    assert total == pytest.approx((16 * 366 + 2 * 1600) * 2 * 1.25)


def test_the_draw_of_a_gang_is_its_energy_over_time_before_cooling() -> None:
    one = step(compute=2.0, bubble=2.0)
    watts = power_watts(one, DEVICE, 8, SHARES, node_watts=800.0)

    assert float(watts[0]) == pytest.approx(8 * (366 + 94) / 2 + 800)
    assert joules(one, devices=8, node_watts=800.0) == pytest.approx(float(watts[0]) * 4.0)


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.0, 2.0])
def test_draw_rises_with_load_and_stays_between_idle_and_limit(exponent: float) -> None:
    device = machine(peak_watts=700.0, idle_watts=70.0, power_exponent=exponent)
    watts = device_watts(np.linspace(0, 1, 21), device, SHARES)

    assert np.all(np.diff(watts) > 0)
    assert watts[0] > 70.0
    assert watts[-1] < 700.0


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("part", NAMES)
def test_a_step_that_takes_longer_never_takes_less_energy(part: str, exponent: float) -> None:
    device = machine(peak_watts=700.0, idle_watts=70.0, power_exponent=exponent)
    base = {"compute": 1.0, "dp": 0.3, "bubble": 0.2}
    need = [
        float(
            energy_j_per_step(
                step(**(base | {part: base.get(part, 0.0) + more})), device, 8, SHARES
            )[0]
        )
        for more in (0.0, 0.1, 0.5, 2.0)
    ]

    assert need == sorted(need)
    assert need[-1] > need[0]


def test_load_is_a_share_even_of_a_step_that_takes_no_time() -> None:
    assert float(load_of(step(), SHARES)[0]) == 0.0
    assert float(load_of(step(compute=5.0), SHARES)[0]) == 1.0


def test_a_step_costs_its_device_hours_and_its_energy() -> None:
    # 8 devices for 450 s are one device-hour at 2.50; 7.2 MJ are 2 kWh at 0.10.
    usd = usd_per_step(450.0, 8, 7.2e6, usd_per_device_h=2.50, usd_per_kwh=0.10)

    assert usd is not None
    assert float(usd) == pytest.approx(2.70)


def test_devices_of_our_own_cost_their_energy_only() -> None:
    usd = usd_per_step(450.0, 8, 7.2e6, usd_per_device_h=0.0, usd_per_kwh=0.10)

    assert usd is not None
    assert float(usd) == pytest.approx(0.20)


def test_an_unknown_price_or_carbon_intensity_stays_unknown() -> None:
    assert usd_per_step(1.0, 8, 1e6, usd_per_device_h=None, usd_per_kwh=0.10) is None
    assert co2_g_per_step(1e6, carbon_g_per_kwh=None) is None


def test_carbon_is_energy_times_the_intensity_of_the_grid() -> None:
    # 3.6 MJ are 1 kWh; an hour in Iowa at 456 g and in Oregon at 60 g.
    iowa, oregon = (co2_g_per_step(3.6e6, carbon_g_per_kwh=grams) for grams in (456.0, 60.0))

    assert iowa is not None
    assert oregon is not None
    assert float(iowa) == pytest.approx(456.0)
    assert float(iowa / oregon) == pytest.approx(7.6)


def test_columns_give_one_figure_a_plan() -> None:
    rng = np.random.default_rng(5)
    parts = {name: rng.random(50) for name in NAMES}
    total = np.asarray(sum(parts.values()))
    many = StepTime(
        p50_s=total, p90_s=total, parts_s=parts, model_flops=total, hardware_flops=total
    )
    energy = energy_j_per_step(many, DEVICE, np.arange(1, 51), SHARES, pue=1.2)

    alone = joules(step(**{name: float(part[7]) for name, part in parts.items()}), 8, pue=1.2)
    assert energy.shape == (50,)
    assert float(energy[7]) == pytest.approx(alone)
