"""Rows of answers."""

from .values import decode


class Record(tuple):
    """A row, as asyncpg's Record: its values in order, which have names, too. It is equal to a tuple of
    its values. Of columns of one name the last is the one that is found by it, and `in` asks for names."""

    def __new__(cls, columns, values):
        self = super().__new__(cls, values)
        self._columns = columns
        return self

    def __getitem__(self, key):
        if isinstance(key, str):
            return super().__getitem__(self._columns.places[key])
        return super().__getitem__(key)

    def __contains__(self, name):
        return name in self._columns.places

    def __repr__(self):
        return f"<Record {' '.join(f'{name}={value!r}' for name, value in self.items())}>"

    def __reduce__(self):
        return Record, (self._columns, tuple(self))

    def get(self, name, default=None):
        return self[name] if name in self else default

    def keys(self):
        return iter(self._columns.names)

    def values(self):
        return iter(self)

    def items(self):
        return zip(self._columns.names, self)


class Columns:
    """What the rows of an answer have in common."""

    def __init__(self, columns):
        self.names = tuple(column.name for column in columns)
        self.places = {name: place for place, name in enumerate(self.names)}

    def __getstate__(self):
        return self.names

    def __setstate__(self, names):
        self.names = names
        self.places = {name: place for place, name in enumerate(names)}

    def record(self, row):
        return Record(self, [decode(value) for value in row.values])


def records(table, columns=None):
    """The rows of a table; of a page without columns of its own those of the page before are needed."""
    columns = columns or Columns(table.columns)
    return [columns.record(row) for row in table.rows]

