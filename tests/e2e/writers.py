"""Clients that write without a pause while something else is done."""
import threading

from harness import wait_for

ROWS = 3000


def beside_writers(write, act):
    """
    (what act() returned, how many rows were written) while two clients call write(numbers) again and again, ten of the ROWS
    numbers at a time; act() begins when both are at work.
    """
    done, counts = threading.Event(), {}

    def go_on(client):
        counts[client] = 0
        while not done.is_set():
            write(",".join(str((counts[client] * 37 + client * 11 + i * 101) % ROWS + 1) for i in range(10)))
            counts[client] += 10

    clients = [threading.Thread(target=go_on, args=(client,)) for client in range(2)]
    for client in clients:
        client.start()
    wait_for(lambda: len(counts) == 2 and min(counts.values()) > 20, 120, "the writers")
    result = act()
    done.set()
    for client in clients:
        client.join()
    return result, sum(counts.values())
