-- The position that a command was last sent at, and ways to find what is open.

alter table commands add column sent_epoch bigint;
alter table commands add column sent_seq bigint;
create index commands_by_endpoint on commands (endpoint, delivered);
create index alerts_by_unit on alerts (unit, fingerprint, state);
create index alerts_by_incident on alerts (incident);
