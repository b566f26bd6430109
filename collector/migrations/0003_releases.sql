-- Releases of the agent, how they are rolled out, and what came of it on each endpoint.

-- One program for each version and target.
create table releases (
    version text not null,
    target text not null,
    digest bytea not null,               -- of the program
    size bigint not null,
    made bigint not null,
    sealed bytea not null,               -- as the release key signed it
    added bigint not null,
    primary key (version, target)
);
create index releases_by_digest on releases (digest);

create table rollouts (
    id bigint primary key,
    version text not null,
    unit text,                           -- none: every unit
    kind text,                           -- none: every kind
    canary_percent bigint not null,
    state text not null,                 -- canary, wide, stopped
    reason text,                         -- of the stop
    begun bigint not null,
    changed bigint not null
);

-- What each endpoint was asked for by a roll-out. Where no answer comes, it is asked again by another command.
create table upgrades (
    rollout bigint not null,
    endpoint text not null,
    version text not null,
    command bigint not null,
    canary bigint not null,
    asked bigint not null,
    outcome text,                        -- healthy, returned, refused, not-allowed, withdrawn; none: not heard of yet
    reason text,
    told bigint,
    primary key (rollout, endpoint)
);
create index upgrades_by_endpoint on upgrades (endpoint, rollout);

-- What a command says beyond its action.
alter table commands add column payload bytea;
-- A command has arrived when a heartbeat names it, not when something sent after it arrived.
alter table commands drop column sent_epoch;
alter table commands drop column sent_seq;

-- As the host facts say, to be asked for with many endpoints at once.
alter table endpoints add column agent_version text;
alter table endpoints add column target text;
