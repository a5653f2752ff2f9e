"""Which connection is given up when a server has too many."""

import asyncio
from types import SimpleNamespace

import pytest
from demo_helpers import run_async

from tl_core.connections import OpenConnections, network_address

IDLE = None
SENDING = SimpleNamespace(response_complete=False, more_body=True)
WHOLE = SimpleNamespace(response_complete=False, more_body=False)
ANSWERED = SimpleNamespace(response_complete=True, more_body=False)


class Transport:
    """Stands in for a connection of asyncio."""

    def __init__(self, name):
        self.name, self.is_aborted = name, False

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.is_aborted = True


def given_up(cycles, most, addresses=None):
    """Return the names of the connections that were given up; they are named by their numbers."""

    async def add_all():
        opened = OpenConnections(most, 3600)
        transports = []
        for number, cycle in enumerate(cycles):
            address = "192.0.2.1" if addresses is None else addresses[number]
            transport = Transport(number)
            protocol = SimpleNamespace(
                client=(address, 1),
                cycle=cycle,
                transport=transport,
                loop=asyncio.get_running_loop(),
            )
            transports.append(transport)
            opened.add(protocol, transport)
        for transport in transports:
            opened.remove(transport)
        return [one.name for one in transports if one.is_aborted]

    return run_async(add_all())


@pytest.mark.parametrize(
    ("cycles", "expected"),
    [
        ([WHOLE, SENDING, IDLE, IDLE], [2]),
        ([WHOLE, SENDING, ANSWERED, SENDING], [2]),
        ([WHOLE, SENDING, SENDING, WHOLE], [1]),
        ([WHOLE, WHOLE, WHOLE, WHOLE], [3]),
    ],
    ids=["half a head", "answered", "half a body", "whole requests"],
)
def test_what_is_not_sent_whole_goes_first_the_oldest_of_it(cycles, expected):
    assert given_up(cycles, 3) == expected


def test_the_address_with_most_gives_one_up_also_if_another_waits_for_longer():
    few, many = "192.0.2.1", "192.0.2.2"
    cycles = [IDLE, WHOLE, WHOLE, IDLE]
    assert given_up(cycles, 3, [few, many, many, few]) == [0]
    assert given_up([*cycles, WHOLE], 4, [few, many, many, few, many]) == [4]


def test_an_address_of_one_household_is_one():
    assert network_address({"client": ("2001:db8:1:2:3:4:5:6", 1)}) == "2001:db8:1:2::"
    assert network_address({"client": ("::ffff:192.0.2.1", 1)}) == "192.0.2.1"
    assert network_address({"client": None}) == ""
