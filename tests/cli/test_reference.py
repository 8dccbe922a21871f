import pytest

from irongrid.cli.reference import Named, choose
from irongrid.errors import SpecError

JOBS = [
    Named("j00001a", "llama"),
    Named("j000011", "mlp"),
    Named("j000002", "mlp"),
    Named("j000001", "last-try"),
]


@pytest.mark.parametrize(
    ("typed", "job"),
    [
        ("j00001a", "j00001a"),
        ("1a", "j00001a"),
        ("a", "j00001a"),
        ("llama", "j00001a"),
        ("1", "j000001"),
        ("11", "j000011"),
        ("0011", "j000011"),
        ("j000011", "j000011"),
    ],
)
def test_a_reference_finds_the_job_that_a_person_means(typed: str, job: str) -> None:
    assert choose(typed, JOBS) == job


def test_a_whole_number_wins_over_the_end_of_a_longer_one() -> None:
    assert choose("1", [Named("j000011", "a"), Named("j000001", "b")]) == "j000001"


def test_an_ambiguous_reference_lists_the_candidates() -> None:
    with pytest.raises(SpecError) as caught:
        choose("mlp", JOBS)

    (problem,) = caught.value.problems
    assert problem.problem == "'mlp' may be any of j000011 (mlp), j000002 (mlp)"
    assert problem.fix == "give the whole id"


def test_many_candidates_are_counted_not_listed() -> None:
    with pytest.raises(SpecError, match=r"j000001 \(x\).* and 4 more"):
        choose("x", [Named(f"j00000{number}", "x") for number in range(1, 10)])


def test_a_number_that_is_also_a_name_is_ambiguous() -> None:
    with pytest.raises(SpecError, match="may be any of"):
        choose("2", [Named("j000002", "a"), Named("j000003", "2")])


def test_an_unknown_reference_says_where_to_look() -> None:
    with pytest.raises(SpecError, match="no job is called 'nope'") as caught:
        choose("nope", JOBS)

    assert "irongrid ps --all" in caught.value.problems[0].fix
