from tests.planner.exports.cases import LLAMA3_8B, LLAMA3_PAPER, case

from irongrid.planner.exports.stages import pieces, stage_layers


def test_layers_that_do_not_divide_go_to_the_first_stages() -> None:
    one = case(LLAMA3_8B, 5, 128, pp=5)

    assert stage_layers(one.plan, one.model) == (7, 7, 6, 6, 6)


def test_a_plans_own_stages_are_kept() -> None:
    assert pieces(LLAMA3_PAPER.plan, LLAMA3_PAPER.model) == (7, *[8] * 14, 7)


def test_interleaved_pieces_are_dealt_out_round_by_round() -> None:
    # Stage 0 has 9 blocks as 5 + 4, stage 1 has 8 as 4 + 4, stage 2 has 8, stage 3 has 7.
    one = case(
        LLAMA3_8B, 4, 128, pp=4, schedule="interleaved", virtual_stages=2,
        stage_layers=(9, 8, 8, 7),
    )  # fmt: skip

    assert pieces(one.plan, one.model) == (5, 4, 4, 4, 4, 4, 4, 3)


def test_a_v_schedule_comes_back_through_the_stages() -> None:
    one = case(LLAMA3_8B, 4, 128, pp=4, schedule="zbv", virtual_stages=2, stage_layers=(9, 8, 8, 7))

    # Down 5 4 4 4, back 3 4 4 4: the last piece is on stage 0 again.
    assert pieces(one.plan, one.model) == (5, 4, 4, 4, 3, 4, 4, 4)
