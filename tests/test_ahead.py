"""Work that runs ahead on threads, in order and bounded."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hrnet.predicting.ahead import run_ahead


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def test_results_come_in_the_items_order_whichever_is_done_first(executor):
    second_is_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return 10 * item

    assert list(run_ahead(executor, work, range(6), most=3)) == [0, 10, 20, 30, 40, 50]


def test_no_more_items_are_taken_than_asked(executor):
    taken = []
    results = run_ahead(executor, str, (taken.append(n) or n for n in range(100)), most=5)
    assert taken == []  # not before the first is asked for
    for number in range(10):
        assert next(results) == str(number)
        assert len(taken) == number + (5 if number else 4)  # the first is to say its size


def test_results_that_wait_hold_no_more_than_asked_and_one(executor):
    taken = 0

    def items():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield 10

    results = run_ahead(executor, lambda n: n, items(), most=50, size=lambda n: n, most_size=35)
    for number in range(1, 51):
        next(results)
        assert taken <= number + 4


def test_an_error_is_raised_in_its_place(executor):
    results = run_ahead(executor, lambda n: 6 // n, [3, 2, 0, 1], most=4)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_raised_after_what_came_before_it(executor):
    def items():
        yield from (1, 2)
        raise OSError("the list ends here")

    results = run_ahead(executor, lambda n: n, items(), most=9)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(OSError, match="the list ends here"):
        next(results)


def test_closing_cancels_what_has_not_begun():
    begun, go_on = [], threading.Event()

    def work(item):
        begun.append(item)
        assert item == 0 or go_on.wait(10)
        return item

    with ThreadPoolExecutor(1) as executor:
        results = run_ahead(executor, work, range(50), most=20)
        next(results)
        results.close()
        go_on.set()
    assert len(begun) <= 2
