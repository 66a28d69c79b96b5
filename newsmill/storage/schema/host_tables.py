"""The tables of hosts: their leases, the processes that hold these, the orders of publishers, and what is learnt of sites."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, false, text, true

from newsmill.storage.columns import Id, Json, StorableText, UtcDateTime, metadata

hosts = Table(
    "hosts",
    metadata,
    Column("host", StorableText, primary_key=True),
    Column("owner", StorableText),
    Column("lease_until", UtcDateTime),
    Column("leased_at", UtcDateTime, nullable=False),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("next_fetch_at", UtcDateTime),
    Column("paused_at", UtcDateTime),  # when next_fetch_at was set: one in the future shows a wrong clock
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("crawl_delay", Float),
    Column("response_seconds", Float),  # for a usual response, by the process that had the host last; NULL: none yet
    Column("robots_status", Integer),
    Column("robots_body", LargeBinary),
    Column("robots_fetched_at", UtcDateTime),
    Index("ix_hosts_served", "leased_at", "host"),
    Index("ix_hosts_leased", "lease_until", sqlite_where=text("lease_until IS NOT NULL"), postgresql_where=text("lease_until IS NOT NULL")),
)

# Heartbeats: the time of each process's last complete round, for health checks and `status`.
processes = Table(
    "processes",
    metadata,
    Column("name", StorableText, primary_key=True),  # processes.make_owner_id
    Column("machine", StorableText, nullable=False),
    Column("role", String(16), nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
    Column("takedowns", Integer),  # of `past_takedowns`, which its machine's own files no longer show; NULL: not known
)

# Orders of the owners of hosts, which the crawler obeys from its next request on.
publisher_orders = Table(
    "publisher_orders",
    metadata,
    Column("host", StorableText, primary_key=True),
    Column("is_stopped", Boolean, nullable=False),
    Column("delay", Float),  # seconds between two requests, at least
    Column("changed_at", UtcDateTime, nullable=False),
)

# Proofs that a host belongs to the sender of a claim. Only the hash of the claim is stored.
publisher_claims = Table(
    "publisher_claims",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("host", StorableText, nullable=False),
    Column("proved_at", UtcDateTime, nullable=False),
)

# Site profiles, one row per version. A page is read with the newest version that is valid for its fetch time.
profiles = Table(
    "profiles",
    metadata,
    Column("site", StorableText, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("fit", Float),
    Column("since", UtcDateTime),  # valid for pages fetched from then on; older pages have another layout
    Column("documents", Id, nullable=False),  # of the site at the last learning, with or without a new version
    Column("applied", Boolean, nullable=False),  # the documents of older versions are extracted again
    Column("data", Json, nullable=False),  # model.Profile
    # Pages read with this version, by extraction path (model.ExtractionPath).
    Column("fast", Boolean, nullable=False, server_default=true()),  # False: the fast path disagreed with the full one and is off
    Column("fast_pages", Id, nullable=False, server_default="0"),
    Column("unfit_pages", Id, nullable=False, server_default="0"),
    Column("agreed_pages", Id, nullable=False, server_default="0"),
    Column("disagreed_pages", Id, nullable=False, server_default="0"),
)

# What the parameters of a site's URLs are worth; storage.url_parameters.
url_parameters = Table(
    "url_parameters",
    metadata,
    Column("site", StorableText, primary_key=True),  # urls.get_profile_site
    Column("name", StorableText, primary_key=True),  # lower case
    Column("copies", Integer, nullable=False),
    Column("articles", Integer, nullable=False),
    Column("is_needed", Boolean, nullable=False, server_default=false()),
)
