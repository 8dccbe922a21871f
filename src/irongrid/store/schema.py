"""The tables at the newest revision. How older databases get here: `migrations/versions`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

# Every revision in order; the last one is what `METADATA` describes.
REVISIONS = ("0001",)
HEAD = REVISIONS[-1]

METADATA = MetaData()

# SQLite makes a primary key the row's own address only if its type reads INTEGER.
Key = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "events",
    METADATA,
    Column("seq", Key, primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("job", String(64)),
    Column("body", Text, nullable=False),
)
Index("events_by_job", EVENTS.c.job, EVENTS.c.seq)

# Values of jobs' `env`: beside the log, so that they can be forgotten.
ENVIRONMENTS = Table(
    "environments",
    METADATA,
    Column("job", String(64), primary_key=True),
    Column("body", Text, nullable=False),
)

# A snapshot counts once `complete` is true, which is its last transaction.
SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("seq", BigInteger, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    sqlite_autoincrement=True,
)
SNAPSHOT_CHUNKS = Table(
    "snapshot_chunks",
    METADATA,
    Column("snapshot", Key, ForeignKey("snapshots.id"), primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

# One row: who may append, and where the log ends. Each commit updates it under its own epoch,
# which is the fence, the order check and the proof that nothing is missing at once.
SERVER = Table(
    "server",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("server_epoch", BigInteger, nullable=False),
    Column("head_seq", BigInteger, nullable=False),
    Column("head_at_ns", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
)
