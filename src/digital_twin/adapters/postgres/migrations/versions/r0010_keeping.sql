-- How long a community keeps what, and how far its upkeep has come.
create table keeping (
    community bigint primary key references community on delete cascade,
    readings_days int check (readings_days > 0),
    journal_days int check (journal_days > 0),
    known_from timestamptz,  -- what was known before is not kept any more
    spans_until timestamptz  -- first_day and last_day of series know all batches up to this one
);

alter table series add column first_day date, add column last_day date;
create index series_summed on series (community, name, resolution_minutes)
    where member_id is not null and asset_id is null;

-- Sums of five homes or more of which some readings were removed. What is kept once never changes.
create table kept_sum (
    community bigint not null references community on delete cascade,
    day date not null,
    name text not null,
    kept_at timestamptz not null,
    resolution_minutes int not null,
    total double precision[] not null,  -- NaN where nothing is kept
    reporting int[] not null,
    members int[] not null,
    primary key (community, day, name, kept_at)
);

-- Entries of many batches are merged into one, and outlive the rows of their batches.
alter table journal
    drop constraint journal_batch_fkey,
    add column received_from timestamptz,  -- of its first batch; null for the entry of a single one
    add column is_full boolean not null default false;  -- too large to be merged further
drop index journal_batch;
create index journal_received on journal (community, received_at);

alter table keeping enable row level security;
create policy entered on keeping to digital_twin_app using (community = (select entered_community()));
alter table kept_sum enable row level security;
create policy entered on kept_sum to digital_twin_app using (community = (select entered_community()));
grant select, insert, update, delete on keeping, kept_sum to digital_twin_app;

-- Parts of the journal that still tell of series which were erased; upkeep goes on where an erasure was cut off.
create table journal_purge (
    community bigint not null references community on delete cascade,
    month date not null,
    resolution_minutes int not null,
    series int[] not null
);
create index journal_purge_of_community on journal_purge (community);
alter table journal_purge enable row level security;
create policy entered on journal_purge to digital_twin_app using (community = (select entered_community()));
grant select, insert, update, delete on journal_purge to digital_twin_app;
