"""The one SQLite database: what runs did, written by one writer, read by all."""

from quantlab.ledger.database import database_path
from quantlab.ledger.hashing import fills_sha256
from quantlab.ledger.numbered import NumberedJournal
from quantlab.ledger.rehearsal import PaperRecord, paper_record
from quantlab.ledger.rows import BotRow, RunRow
from quantlab.ledger.store import Ledger
from quantlab.ledger.writer import LedgerWriter

__all__ = [
    "BotRow",
    "Ledger",
    "LedgerWriter",
    "NumberedJournal",
    "PaperRecord",
    "RunRow",
    "database_path",
    "fills_sha256",
    "paper_record",
]
