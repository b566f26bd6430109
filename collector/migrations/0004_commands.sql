-- A command has arrived when a heartbeat names it, not when something sent after it arrived.

alter table commands drop column sent_epoch;
alter table commands drop column sent_seq;
