"""A process that hashes forty passwords in forty threads, and prints by how many megabytes its peak has grown."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
THREADS = 40


def main() -> None:
    django.setup()
    from shipments.auth import password_hashers

    gate = password_hashers.HashGate(slots=2, queue=THREADS, wait_seconds=60)
    password_hashers.gate = gate  # type: ignore[misc]  # the same, with room for all of them
    hasher = password_hashers.Argon2Hasher()
    barrier = Barrier(THREADS)

    def hash_in_a_thread(number: int) -> None:
        barrier.wait()
        hasher.encode(f"password {number}", "saltsaltsaltsaltsaltsa")
        barrier.wait()

    before = peak_megabytes()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(hash_in_a_thread, range(THREADS)))
    print(round(peak_megabytes() - before))


def peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
