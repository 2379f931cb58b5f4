"""Pages of a list: the total is counted anew for each page, and pages are found by offset."""

from fastapi import Query


class Page:
    def __init__(self, page: int = Query(1, ge=1), per_page: int = Query(20, ge=1, le=100)):
        self.page = page
        self.per_page = per_page

    def of(self, query, to_json) -> dict:
        total = query.count()
        rows = query.offset((self.page - 1) * self.per_page).limit(self.per_page).all()
        return {
            "items": [to_json(row) for row in rows],
            "total": total,
            "page": self.page,
            "per_page": self.per_page,
            "pages": -(-total // self.per_page),
        }
