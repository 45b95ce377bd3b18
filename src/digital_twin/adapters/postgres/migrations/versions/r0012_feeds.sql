-- What a community asks of the outside; settings as `adapters/postgres/codec.py` writes them.
create table feed (
    community bigint not null references community on delete cascade,
    kind text not null check (kind in ('weather', 'prices', 'carbon')),
    settings jsonb not null,
    version bigint not null,
    next_fetch_at timestamptz not null,
    failures int not null default 0,
    archived_from date,
    archived_until date,
    primary key (community, kind)
);

-- Every attempt: what was told then, and when the source issued it.
create table feed_issue (
    id bigint generated always as identity primary key,
    community bigint not null references community on delete cascade,
    kind text not null,
    source text not null,
    fetched_at timestamptz not null,
    outcome text not null,
    note text,
    issued_at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz
);
create index feed_issue_newest on feed_issue (community, kind, fetched_at, id);

-- As the owner: in platform scope the application's role sees no community's rows.
create function feeds_due(now timestamptz) returns table (community_id text, kind text)
    language sql stable security definer set search_path from current as
$$
    select c.community_id, f.kind from feed f join community c on c.id = f.community
    where f.next_fetch_at <= now and (f.settings ->> 'enabled')::bool
    order by f.next_fetch_at, c.community_id, f.kind
$$;

create function feeds_oldest_good() returns table (kind text, fetched_at timestamptz)
    language sql stable security definer set search_path from current as
$$
    select f.kind, min(newest.fetched_at)
    from feed f,
    lateral (
        select max(i.fetched_at) as fetched_at from feed_issue i
        where i.community = f.community and i.kind = f.kind and i.outcome = 'stored'
    ) newest
    where (f.settings ->> 'enabled')::bool and newest.fetched_at is not null
    group by f.kind
$$;

alter table feed enable row level security;
create policy entered on feed to digital_twin_app using (community = (select entered_community()));
alter table feed_issue enable row level security;
create policy entered on feed_issue to digital_twin_app using (community = (select entered_community()));

grant select, insert, update, delete on feed to digital_twin_app;
grant select, insert, delete on feed_issue to digital_twin_app;
grant usage, select on sequence feed_issue_id_seq to digital_twin_app;
revoke execute on function feeds_due(timestamptz), feeds_oldest_good() from public;
grant execute on function feeds_due(timestamptz), feeds_oldest_good() to digital_twin_app;
