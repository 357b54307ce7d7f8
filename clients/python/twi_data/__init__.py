"""The data of the bot: the old layer's Database and repositories, over the service twi-data.

    from twi_data import Database
    db = Database("127.0.0.1:50051")
    rows = await db.fetch("SELECT * FROM gallery_mementos WHERE guild_id = $1", guild_id)
"""

from . import errors, repositories
from .database import Database, DatabaseTransaction, PreparedStatement
from .errors import DatabaseError, RetryableError
from .record import Record
from .transaction import Transaction

__all__ = ["Database", "DatabaseError", "DatabaseTransaction", "PreparedStatement", "Record",
           "RetryableError", "Transaction", "errors", "repositories"]
