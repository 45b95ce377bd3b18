-- A community that is made again under its old name has not seen the keys of the first.
alter table idempotency
    add column community bigint default entered_community() references community on delete cascade;
create index idempotency_community on idempotency (community) where community is not null;
