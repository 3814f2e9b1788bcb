"""Pages of lists that may have millions of rows: all can be reached, and none costs a count of all."""

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import EmptyPage, Page, Paginator
from django.db.models import QuerySet, Value

if TYPE_CHECKING:
    Pages = Paginator[Any]
else:
    Pages = Paginator

# Counting these takes about 20 ms; beyond, PostgreSQL's estimate is shown and says so.
MAX_COUNTED: Final = 100_000


class EstimatingPaginator(Pages):
    """Counts up to MAX_COUNTED rows exactly, takes more from the planner, and pages until none is left."""

    @cached_property
    def is_estimate(self) -> bool:
        """Whether `count` is an estimate."""
        return self._counted > MAX_COUNTED

    @cached_property
    def count(self) -> int:
        """The number of rows; more than MAX_COUNTED are estimated."""
        return max(self._counted, _estimated_count(self._rows)) if self.is_estimate else self._counted

    def validate_number(self, number: Any) -> int:
        """Return the number of a page; behind an estimated end there may be more."""
        try:
            return super().validate_number(number)
        except EmptyPage:
            if self.is_estimate and 0 < int(number) <= 2 * self.num_pages:
                return int(number)
            raise

    def page(self, number: Any) -> Page[Any]:
        """Return a page. Its keys are read first, which the index of the order alone may answer."""
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        keys = list(self._rows.values_list("pk", flat=True)[start : start + self.per_page + 1])
        if len(keys) > self.per_page and number >= self.num_pages:  # the estimate was too low
            self.__dict__.update(count=start + self.per_page + 1, num_pages=number + 1)
        return Page(self._rows.filter(pk__in=keys[: self.per_page]), number, self)

    @property
    def _rows(self) -> QuerySet[Any]:
        rows: Any = self.object_list
        return rows  # type: ignore[no-any-return]  # the admin pages querysets alone

    @cached_property
    def _counted(self) -> int:
        # A constant and not the key: any index that has the rows will do.
        return self._rows.order_by().values(one=Value(1))[: MAX_COUNTED + 1].count()


def _estimated_count(rows: QuerySet[Any]) -> int:
    plan = json.loads(rows.order_by().explain(format="json"))
    return int(plan[0]["Plan"]["Plan Rows"])
