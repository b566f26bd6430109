-- One set of SQL for SQLite and PostgreSQL: BIGINT, TEXT and bytes only. Times are milliseconds since 1970 UTC.

create table meta (
    name text primary key,
    value text not null
);

create table units (
    id text primary key,
    name_vi text not null,
    name_en text not null
);

create table tokens (
    id bigint primary key,
    secret_digest bytea not null,
    unit text not null,
    kind text not null,
    uses bigint not null,
    uses_left bigint not null,
    created bigint not null,
    expires bigint not null,
    revoked bigint
);

-- The same token with the same keys gets the same reply.
create table enrolments (
    token bigint not null,
    keys_digest bytea not null,
    endpoint text not null,
    reply bytea not null,
    primary key (token, keys_digest)
);

create table endpoints (
    id text primary key,
    unit text not null,
    kind text not null,
    hostname text not null,
    state text not null,                 -- pending, active, removed
    serial text not null,
    report_key bytea not null,
    enrolled bigint not null,
    -- the reporting stream
    stream bytea,
    committed bigint not null default 0,
    last_digest bytea,
    inventory_complete bigint not null default 0,
    -- the downlink
    downlink_epoch bigint not null default 0,
    downlink_seq bigint not null default 0,
    -- contact
    last_seen bigint,
    last_wall bigint,
    uptime_ms bigint,
    clock_proved bigint not null default 0,
    outbox_reports bigint not null default 0,
    link text not null default 'never',  -- never, heard, silent, off
    instances text not null default '',
    host text
);

create table reports (
    endpoint text not null,
    stream bytea not null,
    seq bigint not null,
    digest bytea not null,
    received bigint not null,
    size bigint not null,
    primary key (endpoint, stream, seq)
);

create table files (
    endpoint text not null,
    path bytea not null,
    -- the sighting: present, unreadable, absent
    sighting text not null,
    digest bytea,
    size bigint,
    kind text,
    mode bigint,
    uid bigint,
    gid bigint,
    reason text,
    stream bytea not null,
    first_seen bigint not null,
    changed bigint not null,
    primary key (endpoint, path)
);
create index files_by_digest on files (digest);

create table coverage (
    endpoint text primary key,
    body text not null
);

create table verdicts (
    endpoint text not null,
    policy text not null,
    check_id text not null,
    version text not null,
    verdict text not null,
    reason text,
    evidence text not null,
    changed bigint not null,
    primary key (endpoint, policy, check_id)
);

-- The change log. Each entry carries the digest of the one before.
create table log (
    idx bigint primary key,
    at bigint not null,
    actor text not null,
    change_body text not null,
    digest bytea not null,
    incident text,
    alert bigint
);
create index log_by_incident on log (incident, idx);
create index log_by_alert on log (alert, idx);

create table checkpoints (
    length bigint primary key,
    head bytea not null,
    signature bytea not null
);

-- Projections of the log, made again by replay.
create table alerts (
    id bigint primary key,
    endpoint text not null,
    unit text not null,
    rule text not null,
    severity text not null,
    fingerprint text not null,
    state text not null,                 -- open, silenced, closed
    silenced_until bigint,
    count bigint not null,
    first_seen bigint not null,
    last_seen bigint not null,
    finding text not null,
    incident text,
    closed_reason text,
    body text not null                   -- the whole alert, from which the other columns are taken
);
create index alerts_by_fingerprint on alerts (endpoint, fingerprint, state);
create index alerts_by_state on alerts (state, last_seen);

create table incidents (
    id text primary key,
    procedure text not null,
    title_vi text not null,
    title_en text not null,
    severity text not null,
    serious bigint,
    state text not null,                 -- open, closed
    round bigint not null,
    raised bigint not null,
    changed bigint not null,
    closed bigint,
    body text not null                   -- the whole incident, from which the other columns are taken
);

create table commands (
    id bigint primary key,
    endpoint text not null,
    action text not null,
    issued bigint not null,
    expires bigint not null,
    delivered bigint
);

create table users (
    name text primary key,
    display_name text not null,
    password_hash text not null,
    must_change bigint not null,
    role text not null,
    language text not null,
    failures bigint not null default 0,
    locked_until bigint,
    created bigint not null
);

create table sessions (
    id_digest bytea primary key,
    user_name text not null,
    csrf text not null,
    created bigint not null,
    seen bigint not null
);

create table evidence (
    digest bytea primary key,
    name text not null,
    size bigint not null,
    added bigint not null,
    added_by text not null
);
