-- One program may be given again under a higher version: an endpoint that gave a version up takes only a newer one.

create table releases_by_target (
    digest bytea not null,               -- of the program
    version text not null,
    target text not null,
    size bigint not null,
    made bigint not null,
    sealed bytea not null,               -- as the release key signed it
    added bigint not null,
    primary key (version, target)
);
insert into releases_by_target select digest, version, target, size, made, sealed, added from releases;
drop table releases;
alter table releases_by_target rename to releases;
create index releases_by_digest on releases (digest);
