"""The table finds what comparing all with all finds."""

from __future__ import annotations

import numpy as np
import pytest

from tl_core.data.near_duplicates.hamming_index import MAX_BITS, HashTable

HASHES = np.random.default_rng(0).integers(0, 2**64, 300, dtype=np.uint64)


def flipped(number: int, bits: list[int]) -> int:
    for bit in bits:
        number ^= 1 << bit
    return number


def found(table: HashTable, queries: list[int], budget: int = 10**6) -> set[tuple[int, int]]:
    return {
        (int(query), int(place))
        for part in table.near(np.array(queries, np.uint64), budget)
        for query, place in zip(*part, strict=True)
    }


@pytest.mark.parametrize(
    "bits",
    [[], [0], [63], [0, 1, 16, 17, 32, 33, 48], [15, 16, 31, 32, 47, 48, 63], list(range(7))],
    ids=str,
)
def test_a_hash_with_up_to_seven_other_bits_is_found(bits):
    assert found(HashTable(HASHES), [flipped(int(HASHES[5]), bits)]) == {(0, 5)}


@pytest.mark.parametrize("bits", [list(range(8)), [0, 1, 16, 17, 32, 33, 48, 49]], ids=str)
def test_a_hash_with_eight_other_bits_is_not(bits):
    assert found(HashTable(HASHES), [flipped(int(HASHES[5]), bits)]) == set()


def test_all_and_only_near_hashes_are_found_among_crowded_ones():
    rng = np.random.default_rng(1)
    crowd = np.array([flipped(2**40 + 5, list(rng.integers(0, 64, 4))) for _ in range(200)])
    crowd = crowd.astype(np.uint64)
    distances = np.bitwise_count(crowd[:, None] ^ crowd)
    expected = {(int(a), int(b)) for a, b in np.argwhere(distances <= MAX_BITS)}

    assert found(HashTable(crowd), crowd.tolist()) == expected


def test_the_budget_bounds_the_work_and_still_reaches_into_every_query():
    same = np.full(2000, 77, np.uint64)
    num = sum(len(part[0]) for part in HashTable(same).near(same, 40_000))
    reached = {query for query, _ in found(HashTable(same), same.tolist(), 40_000)}

    assert 0 < num <= 40_000
    assert reached == set(range(2000))
