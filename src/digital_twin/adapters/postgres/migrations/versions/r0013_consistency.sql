-- How honest the errors of a state are, stream by stream; nothing is known of those kept before.
alter table state_snapshot add column consistency jsonb not null default '{}';
