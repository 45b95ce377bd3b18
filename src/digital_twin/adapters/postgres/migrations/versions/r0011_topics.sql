-- What the messages of a broker mean to a community. Whoever takes messages hears of each change.
create table topic_mapping (
    community bigint not null references community on delete cascade,
    mapping_id text not null,
    document jsonb not null,
    version int not null default 1,
    primary key (community, mapping_id)
);

create function tell_topic_mapping() returns trigger language plpgsql as
$$
begin
    perform pg_notify('topic_mapping', '');
    return null;
end
$$;
create trigger tell_topic_mapping after insert or update or delete on topic_mapping
    for each statement execute function tell_topic_mapping();

-- As the owner: in platform scope the application's role sees no community's rows.
create function topic_mappings_of_all() returns table (community_id text, document jsonb)
    language sql stable security definer set search_path from current as
$$
    select c.community_id, m.document from topic_mapping m join community c on c.id = m.community
    order by c.community_id, m.mapping_id
$$;

-- Messages from which not everything could be stored: their topic, the beginning of their payload, and why.
create table dead_letter (
    id bigint generated always as identity primary key,
    community bigint not null references community on delete cascade,
    received_at timestamptz not null,
    topic text not null,
    payload bytea not null,
    payload_bytes int not null,
    reason text not null
);
create index dead_letter_of_community on dead_letter (community, id);

-- Values of intervals that are not over or have several, for a day; `is_due` until they are in the reading.
create table sample (
    community bigint not null references community on delete cascade,
    name text not null,
    member_id text,
    asset_id text,
    at timestamptz not null,
    start timestamptz not null,
    ends timestamptz not null,
    value double precision not null,
    quality smallint not null,
    pick text not null check (pick in ('last', 'first', 'mean')),
    is_due boolean not null default true,
    told_at timestamptz not null default clock_timestamp(),
    unique nulls not distinct (community, name, member_id, asset_id, at),
    foreign key (community, member_id) references member on delete cascade,
    foreign key (community, asset_id) references asset on delete cascade
);
create index sample_due on sample (community, ends) where is_due;
create index sample_interval on sample (community, name, start);
create index sample_told on sample (community, told_at);
create index sample_member on sample (community, member_id);
create index sample_asset on sample (community, asset_id);

create function communities_with_samples_due(until timestamptz) returns table (community_id text)
    language sql stable security definer set search_path from current as
$$
    select c.community_id from community c
    where exists (select from sample s where s.community = c.id and s.is_due and s.ends <= until)
    order by c.community_id
$$;

-- Who takes messages from the broker, and what its session there is subscribed to.
create table ingester (
    client_id text primary key,
    is_connected boolean not null,
    filters text[] not null,
    told_at timestamptz not null default clock_timestamp()
);

alter table topic_mapping enable row level security;
create policy entered on topic_mapping to digital_twin_app using (community = (select entered_community()));
alter table dead_letter enable row level security;
create policy entered on dead_letter to digital_twin_app using (community = (select entered_community()));
alter table sample enable row level security;
create policy entered on sample to digital_twin_app using (community = (select entered_community()));

grant select, insert, update, delete on topic_mapping, dead_letter, sample, ingester to digital_twin_app;
grant usage, select on sequence dead_letter_id_seq to digital_twin_app;
revoke execute on function topic_mappings_of_all(), communities_with_samples_due(timestamptz) from public;
grant execute on function topic_mappings_of_all(), communities_with_samples_due(timestamptz) to digital_twin_app;
