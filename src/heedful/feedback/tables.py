"""The tables. Judgements are only ever added; who a rater is stands in `account` alone, all else knows a pseudonym.

Times are seconds since 1970 in UTC. Texts stand apart from what is counted, so that counting reads no text.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

DISPUTES = ("", "none", "open", "decided", "out")  # "": not looked at since the last label came; out: taken out
OVER = ("decided", "out")  # disputes after which nobody is asked any more
UNSAID = ("skipped", "reported")  # states of a chat's turn that its conversation goes on without
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Id = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


def _to(column: str, *, null: bool = False) -> Column[int]:
    """A reference; nothing is ever deleted by cascade."""
    return Column(f"{column}_id", Id, ForeignKey(f"{column}.id"), nullable=null)


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────────
account = Table(
    "account",
    metadata,
    _id(),
    Column("login", String(80), nullable=False, unique=True),  # lower case
    Column("name", String(80), nullable=False),
    Column("password", String(255), nullable=False),  # argon2id; empty: can't sign in with one
    Column("role", String(16), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("skills", JSON, nullable=False, server_default=text("'[]'")),
)
session = Table(
    "session",
    metadata,
    Column("hash", String(64), primary_key=True),  # sha256 of the cookie
    _to("account"),
    Column("expires_at", Float, nullable=False),
)
token = Table(
    "token",
    metadata,
    _id(),
    Column("hash", String(64), nullable=False, unique=True),
    _to("account"),
    Column("name", String(80), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
)
link = Table(
    "link",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),  # owner, invite, reset
    Column("role", String(16), nullable=False),
    Column("projects", JSON, nullable=False),
    _to("account", null=True),  # whose password a reset sets
    Column("expires_at", Float, nullable=False),
    Column("used", Boolean, nullable=False),
)
attempt = Table(  # failed sign-ins
    "attempt",
    metadata,
    _id(),
    Column("key", String(160), nullable=False),
    Column("at", Float, nullable=False),
    Index("ix_attempt_key_at", "key", "at"),
)
rater = Table(
    "rater",
    metadata,
    _id(),
    Column("kind", String(16), nullable=False),  # human, ai, simulated
    Column("name", String(120), nullable=False, unique=True),  # the pseudonym that exports carry
    Column("account_id", Id, ForeignKey("account.id"), nullable=True, unique=True),
)
event = Table(  # who did what; each row's hash covers the one before
    "event",
    metadata,
    _id(),
    Column("at", Float, nullable=False),
    _to("account", null=True),
    Column("action", String(40), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("hash", String(64), nullable=False),
)

# ── what is judged ──────────────────────────────────────────────────────────────────────────────────────────────────
project = Table(
    "project",
    metadata,
    _id(),
    Column("name", String(80), nullable=False, unique=True),
    Column("about", Text, nullable=False),
    Column("guidelines", Text, nullable=False),
    Column("warning", Text, nullable=False, server_default=text("''")),  # of contents; shown before the first item
    Column("sheet", JSON, nullable=False),
    Column("queue", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("tail", Integer, nullable=False),  # the last whole place that the queue has given out
    Column("open", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)
member = Table(
    "member",
    metadata,
    Column("project_id", Id, ForeignKey("project.id"), primary_key=True),
    Column("account_id", Id, ForeignKey("account.id"), primary_key=True),
)
prompt = Table(
    "prompt",
    metadata,
    _id(),
    _to("project"),
    Column("key", String(64), nullable=False),
    Column("name", String(120), nullable=False),  # the id that the file gave it
    Column("messages", JSON, nullable=False),
    Column("meta", JSON, nullable=False),
    UniqueConstraint("project_id", "key"),
)
completion = Table(
    "completion",
    metadata,
    _id(),
    _to("prompt"),
    Column("key", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("source", String(200), nullable=False),
    Column("leak", String(80), nullable=False, server_default=text("''")),  # words by which it tells who wrote it
    UniqueConstraint("prompt_id", "key"),
    Index(
        "ix_completion_leaking",
        "prompt_id",
        sqlite_where=text("leak <> ''"),
        postgresql_where=text("leak <> ''"),
    ),
)
item = Table(
    "item",
    metadata,
    _id(),
    _to("project"),
    _to("prompt"),
    Column("key", String(64), nullable=False),
    Column("part", String(12), nullable=False),  # main, gold, training, probe, chat, again (asked anew), decision
    Column("open", Boolean, nullable=False),  # whether it has a free place
    Column("target", Integer, nullable=False),  # places for raters; 0: everyone, once (gold, training, probe)
    Column("taken", Integer, nullable=False),  # places leased or judged
    Column("done", Integer, nullable=False),  # judgements by people
    Column("place", Float, nullable=False),  # where in the queue; lower comes sooner
    Column("chosen_by", String(16), nullable=False),  # by a rule of `order`, or as `given`
    Column("completions", JSON, nullable=False),  # ids in stored order
    Column("expected", JSON, nullable=False),  # a gold or training answer; {} elsewhere
    Column("explanation", Text, nullable=False),
    Column("scores", JSON, nullable=False),  # of reward models, a list for each answer
    Column("skill", String(40), nullable=False, server_default=text("''")),  # that a rater needs; empty: none
    Column("dispute", String(12), nullable=False, server_default=text("''")),  # one of DISPUTES
    UniqueConstraint("project_id", "key"),
    Index(
        "ix_item_waiting",
        "project_id",
        "part",
        "place",
        "id",
        sqlite_where=text("open = 1"),
        postgresql_where=text("open"),
    ),
    Index(
        "ix_item_skilled", "project_id", "skill", sqlite_where=text("skill <> ''"), postgresql_where=text("skill <> ''")
    ),
    Index("ix_item_project_id_done", "project_id", "part", "done"),
    Index("ix_item_project_id_dispute", "project_id", "dispute"),
)
seat = Table(  # where a rater's walk along a part of the queue has come to
    "seat",
    metadata,
    Column("project_id", Id, ForeignKey("project.id"), primary_key=True),
    Column("rater_id", Id, ForeignKey("rater.id"), primary_key=True),
    Column("part", String(12), primary_key=True),
    Column("place", Float, nullable=False),
    Column("item_id", Id, nullable=False),
    Column("drawn", Integer, nullable=False),
)

# ── judging ─────────────────────────────────────────────────────────────────────────────────────────────────────────
assignment = Table(
    "assignment",
    metadata,
    _id(),
    _to("project"),
    _to("item"),
    _to("rater"),
    Column("slot", Integer, nullable=True),  # one of the item's places; none: surplus, gold, training, machine
    Column("part", String(12), nullable=False),
    Column("shown", JSON, nullable=False),  # stored places of the answers in the order shown
    Column("state", String(12), nullable=False),  # leased, done, skipped, reported, expired, again
    Column("late", Boolean, nullable=False),  # answered after the lease had run out
    Column("leased_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("closed_at", Float, nullable=False),  # 0 while it is open
    Column("judgement_id", Id, nullable=True),  # the newest revision
    Column("choice", Integer, nullable=False),  # place on the screen that was preferred, from 0; -1: none
    Column("verdict", String(12), nullable=False),
    Column("agrees", Integer, nullable=False),  # with a gold or training answer: 1, 0; -1: there is none
    UniqueConstraint("item_id", "rater_id"),
    UniqueConstraint("item_id", "slot"),
    Index("ix_assignment_mine", "rater_id", "project_id", "state", "closed_at"),
    Index("ix_assignment_counts", "project_id", "rater_id", "state", "part", "verdict", "choice", "agrees"),
    Index(
        "ix_assignment_running",
        "rater_id",
        "project_id",
        "expires_at",
        sqlite_where=text("state = 'leased'"),
        postgresql_where=text("state = 'leased'"),
    ),
)
judgement = Table(
    "judgement",
    metadata,
    _id(),
    _to("assignment"),
    Column("revision", Integer, nullable=False),
    Column("client_uuid", String(36), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),  # of the body, to tell a retry from a second use of the UUID
    Column("value", JSON, nullable=False),
    Column("seconds", Float, nullable=False),  # with the page in view and the rater active
    Column("weight", Float, nullable=False, server_default=text("1")),  # in training; of imported labels
    Column("created_at", Float, nullable=False),
    Column("draws", JSON, nullable=False, server_default=text("'[]'")),  # what a judge said each time it was asked
    UniqueConstraint("assignment_id", "revision"),
)
draft = Table(
    "draft",
    metadata,
    Column("assignment_id", Id, ForeignKey("assignment.id"), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("saved_at", Float, nullable=False),
)
notice = Table(  # why an item was skipped or reported
    "notice",
    metadata,
    _id(),
    _to("assignment"),
    Column("kind", String(12), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
)
settlement = Table(  # of a notice: it was settled, or its item taken out
    "settlement",
    metadata,
    Column("notice_id", Id, ForeignKey("notice.id"), primary_key=True),
    Column("outcome", String(12), nullable=False),  # settled, out
    _to("account"),  # who settled it
    Column("at", Float, nullable=False),
)
conversation = Table(
    "conversation",
    metadata,
    _id(),
    _to("project"),
    _to("rater"),
    Column("models", JSON, nullable=False),
    Column("goal", Text, nullable=False),
    Column("success", Integer, nullable=False),  # 1 to 5; 0: not rated
    Column("comment", Text, nullable=False),
    Column("ratings", JSON, nullable=False, server_default=text("'{}'")),  # of the whole, by criterion
    Column("open", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Index("ix_conversation_project_id_rater_id", "project_id", "rater_id"),
)
turn = Table(
    "turn",
    metadata,
    _id(),
    _to("conversation"),
    Column("number", Integer, nullable=False),
    Column("client_uuid", String(36), nullable=False, unique=True),
    Column("text", Text, nullable=False),
    _to("assignment"),  # the two answers and what the rater said of them
    UniqueConstraint("conversation_id", "number"),
)
retake = Table(  # two answers of a turn in whose place the rater asked for others
    "retake",
    metadata,
    _id(),
    _to("turn"),
    Column("client_uuid", String(36), nullable=False, unique=True),
    Column("assignment_id", Id, ForeignKey("assignment.id"), nullable=False, unique=True),
)
appeal = Table(  # a rater says that something is wrong with an item after answering it
    "appeal",
    metadata,
    _id(),
    Column("assignment_id", Id, ForeignKey("assignment.id"), nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String(12), nullable=False),  # "" while it waits, stands, wrong
    Column("answer", Text, nullable=False),
    _to("account", null=True),  # who settled it
)

# ── telling other programs ──────────────────────────────────────────────────────────────────────────────────────────
webhook = Table(
    "webhook",
    metadata,
    _id(),
    _to("project"),
    Column("url", String(500), nullable=False),
    Column("secret", String(64), nullable=False),  # what is sent is signed with it, so it can't be kept as a hash
    Column("events", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("cursor", Id, nullable=False),  # the last judgement that was looked at
    Column("created_at", Float, nullable=False),
)
delivery = Table(
    "delivery",
    metadata,
    _id(),
    _to("webhook"),
    Column("key", String(80), nullable=False),  # what happened, so that it is told once
    Column("event", String(24), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(12), nullable=False),  # waiting, done, given_up
    Column("tries", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("said", String(200), nullable=False),  # how the last try went
    Column("created_at", Float, nullable=False),
    UniqueConstraint("webhook_id", "key"),
    Index("ix_delivery_state_next_at", "state", "next_at"),
)
APPEND_ONLY = ("judgement", "event", "notice")
