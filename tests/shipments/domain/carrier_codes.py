"""Make docs/carrier-codes.md of the declared tables: `python -m tests.shipments.domain.carrier_codes` writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shipments.domain.status_codes import aftership, dcsa, easypost, edi214, shippo
from shipments.domain.status_codes.meaning import Meaning
from shipments.domain.status_fold import MAX_BEFORE_BOOKING

PAGE: Final = Path(__file__).parents[3] / "docs" / "carrier-codes.md"
_HEAD: Final = f"""\
# Carriers' codes

What a checkpoint's `code` of a `codeSystem` means. This page is made of the tables in
`shipments/domain/status_codes/`, and a test holds that it equals them:
`python -m tests.shipments.domain.carrier_codes` writes it anew.

- Codes are compared as they are, capitals included. A qualifier stands behind a slash (`A7/BT`, `GTIN/EMPTY`,
  `in_transit/arrived_at_facility`); one that is in no table leaves the meaning of the code before it (`D1/NS`).
- A code that is in no table is stored and shown as it came, its `outcome` is `anomalous`, and it changes nothing.
- A state is applied where it may follow the status, in the order of `occurredAt`, whatever the order of arrival.
  While a shipment is `returning`, what is scanned on the way keeps it so, and its delivery makes it `returned`.
- An *estimate* moves the ETA, whatever its time and classifier, but not after delivery. So does an `EST` or `PLN`
  checkpoint of a delivery, of an arrival at the consignee, or of an *arrival* whose place is the destination. The
  ETA is the last estimate that arrived: no message says when it was made.
- An *appointment* may lie ahead; before it is due it moves nothing.
- A flag is open from the time at which it was opened until something later clears it, in any order of arrival.
- A time more than {MAX_BEFORE_BOOKING.days} days before the booking is none: the checkpoint is kept as `anomalous`.
"""


def page() -> str:
    """Return the document."""
    return "\n".join(
        [
            _HEAD,
            "## EDI 214 (`edi214`)\n",
            "AT7-01 (status, element 1650) or AT7-03 (appointment, element 1652), then the reason. `X9` is a",
            "terminal here: an AT7-03 `X9` (delivery appointment secured) is better sent as `AB`.\n",
            _table(edi214.CODES),
            "Reasons (AT7-02 and AT7-04, element 1651) are stored; those that change a meaning stand above.\n",
            _texts(edi214.REASONS),
            "## DCSA Track and Trace 2.2 and 3.0 (`dcsa`)\n",
            "The event type code, then `LADEN` or `EMPTY` (`emptyIndicatorCode`). `GTIN` and `GTOT` without it",
            "are not guessed.\n",
            _table(dcsa.CODES),
            "## EasyPost (`easypost`)\n",
            "`status`, then `status_detail`.\n",
            _table(easypost.STATUSES),
            "A detail opens its flag beside any status, and its state takes the place of `in_transit`;",
            "`failure/lost` has no state.\n",
            _table(easypost.DETAILS),
            "## AfterShip (`aftership`)\n",
            "The `subtag`, or the `tag` alone. A subtag that is not listed has the meaning of its tag.\n",
            _table(aftership.CODES),
            "## Shippo (`shippo`)\n",
            "`status`, then the code of the `substatus`.\n",
            _table(shippo.CODES),
        ]
    )


def _table(codes: Mapping[str, Meaning]) -> str:
    rows = [f"| `{code}` | {meaning.text} | {_effect(meaning)} |" for code, meaning in sorted(codes.items())]
    return "\n".join(["| code | says | means |", "|---|---|---|", *rows, ""])


def _texts(codes: Mapping[str, str]) -> str:
    return "\n".join(
        ["| reason | says |", "|---|---|", *(f"| `{code}` | {text} |" for code, text in codes.items()), ""]
    )


def _effect(meaning: Meaning) -> str:
    parts = []
    if meaning.state:
        parts.append(f"`{meaning.state}`")
    if meaning.state_elsewhere:
        parts.append(f"`{meaning.state_elsewhere}` where the place is not the destination")
    if meaning.delivered_after:
        parts.append(f"`delivered` after a `{meaning.delivered_after}` at the destination, else nothing")
    if meaning.opens_flag:
        parts.append(f"opens `{meaning.opens_flag}`")
    if meaning.clears_flag:
        parts.append(f"clears `{meaning.clears_flag}`")
    parts += ["an estimate"] * meaning.is_estimate + ["an arrival"] * meaning.is_arrival
    parts += ["an appointment"] * meaning.is_appointment
    return ", ".join(parts) or "kept"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
